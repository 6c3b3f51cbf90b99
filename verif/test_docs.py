"""README and docs say what is there: links, paths, names, commands, examples, figures."""

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from benchmarks.readme import rendered
from benchmarks.suite import RESULTS
from compiler.ops.registry import ENTRY_POINTS
from isthmus import cli
from sim.cache import ROOT
from verif.examples.extension import install

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [page for page in PAGES if page.name != "isa.md"]
"""Pages that are not generated."""
PACKAGES = ("hw", "compiler", "sim", "isthmus", "verif", "examples", "benchmarks")
MADE_BY_USE = (".cache", ".venv", "benchmarks/results.json")
"""Paths of the repository that a fresh clone does not have."""

FENCE = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?:{'|'.join(PACKAGES)}|docs|\.ci|\.cache|\.venv)/[\w./-]*")
NAME = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
FILE_SUFFIXES = (".py", ".md", ".toml", ".json", ".npz", ".mlir")


@dataclass(frozen=True)
class Block:
    """A fenced block; `mark` is the comment before it."""

    page: Path
    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, match["mark"] or "", match["language"], match["text"])
            for match in FENCE.finditer(page.read_text())]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands in backticks outside of blocks."""
    return SPAN.findall(prose(page))


def slugs(page: Path) -> set[str]:
    """Anchors of the headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
            for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_file(), target
        assert not anchor or anchor in slugs(path), target


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    for span in spans(page):
        if PATH.fullmatch(span) and not span.startswith(MADE_BY_USE):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_names_exist(page: Path) -> None:
    for span in spans(page):
        name = span.partition("(")[0]
        if name == ENTRY_POINTS or name.endswith(FILE_SUFFIXES):
            continue
        if NAME.fullmatch(name):
            assert found(name), span


def found(name: str) -> bool:
    """Whether a dotted name is a module, or leads to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            thing: object = importlib.import_module(".".join(parts[:length]))
            for attribute in parts[length:]:
                fields = getattr(thing, "__dataclass_fields__", {})
                if not hasattr(thing, attribute) and attribute not in fields:
                    return False
                thing = getattr(thing, attribute, None)
            return True
    return False


def commands(page: Path) -> Iterator[str]:
    """Lines that a reader may type: shell blocks and spans."""
    yield from spans(page)
    for block in blocks(page):
        if block.language in ("", "sh"):
            yield from block.text.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(page):
        if named := re.fullmatch(r"make (?:\w+=\S* )?([\w-]+)", command.strip()):
            assert named[1] in targets, command


@cache
def options() -> Mapping[str, set[str]]:
    """Options of each `isthmus` command, as its help lists them."""
    parser = cli._parser()
    (choices,) = [action.choices for action in parser._actions
                  if isinstance(action, argparse._SubParsersAction)]
    return {name: set(re.findall(r"--[\w-]+", command.format_help()))
            for name, command in choices.items()}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    for command in commands(page):
        words = command.split()
        if words[:1] == ["isthmus"] and len(words) > 1 and words[1].isalpha():
            assert words[1] in options(), command
            assert set(re.findall(r"--[\w-]+", command)) <= options()[words[1]], command
        elif command.startswith("--"):
            assert any(words[0] in known for known in options().values()), command


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_lines_are_short(page: Path) -> None:
    long = [line for line in page.read_text().splitlines()
            if len(line) > 100 and not line.startswith("|")]
    assert not long


def test_table_of_measurements_is_the_committed_one() -> None:
    readme = (ROOT / "README.md").read_text()
    if RESULTS.exists():
        assert rendered(readme) == readme
    else:
        assert "<!-- measured: begin -->\n<!-- measured: end -->" in readme


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / "dependencies.md").read_text(),
                      re.MULTILINE)
    explained = {name for row in rows for name in SPAN.findall(row)}
    assert explained == {requirement.partition("==")[0] for requirement in pinned}


ALL_BLOCKS = [block for page in WRITTEN for block in blocks(page)]
QUOTED = [block for block in ALL_BLOCKS if block.mark.startswith("file: ")]
RUNNABLE = [block for block in ALL_BLOCKS if block.mark.startswith("runnable")]


@pytest.mark.parametrize("block", QUOTED, ids=lambda block: block.mark)
def test_quoted_files_are_as_they_are(block: Block) -> None:
    assert block.text == (ROOT / block.mark.removeprefix("file: ")).read_text()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A shell in which `isthmus` is a command, as after `make sim`."""
    programs = tmp_path_factory.mktemp("bin")
    command = programs / "isthmus"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m isthmus.cli "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.page.name)
def test_runnable_blocks_run(block: Block, environment: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**environment}
    if "installed" in block.mark:
        install(tmp_path / "site")
        environment["PYTHONPATH"] += os.pathsep + str(tmp_path / "site")
    interpreter = {"python": [sys.executable, "-c"], "sh": ["bash", "-euo", "pipefail", "-c"]}
    done = subprocess.run([*interpreter[block.language], block.text], cwd=tmp_path,
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout

