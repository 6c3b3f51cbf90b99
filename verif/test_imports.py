"""The layers of the tree: which package may import which, enforced on every import statement."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.cache import ROOT

PACKAGES = ("hw", "compiler", "sim", "isthmus", "verif", "benchmarks", "examples")

ALLOWED: dict[str, set[str]] = {
    "hw": set(),
    "hw.config": {"numpy"},
    "hw.isa": {"hw.isa", "hw.config", "numpy"},
    "hw.timing": {"hw.timing", "hw.isa", "hw.config", "numpy"},
    "hw.core": {"hw.core", "hw.isa", "hw.config", "amaranth"},
    "compiler": {"compiler", "hw.isa", "hw.config", "hw.timing",
                 "jaxlib", "ml_dtypes", "numpy", "xdsl"},
    "sim": {"sim", "hw.isa", "hw.config", "hw.timing", "ml_dtypes", "numpy"},
    "sim.rtl": {"sim", "sim.machine", "hw.core", "hw.isa", "hw.config", "amaranth", "numpy"},
    "sim.machine": {"sim", "sim.verilator", "sim.verilog",
                    "hw.core", "hw.isa", "hw.config", "amaranth", "numpy"},
    "sim.verilator": {"sim", "sim.verilog"},
    "sim.verilog": {"amaranth"},
    "isthmus": {"isthmus", "compiler", "sim", "sim.rtl", "hw", "hw.isa", "hw.config", "hw.timing",
                "jinja2", "markupsafe", "ml_dtypes", "numpy"},
}
"""What a module may import besides the standard library. The longest matching name counts, on both
sides: `sim.golden` follows the rule of `sim`, and `sim` does not include `sim.rtl`."""

FREE = ("verif", "benchmarks", "examples")
"""May import everything, and are imported by nobody else."""


def _longest(name: str, candidates: set[str]) -> str | None:
    parts = name.split(".")
    prefixes = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in candidates), None)


def _imported(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[:-node.level]
                base = ".".join([*package, base]).rstrip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """Imports in `source` that the module of this name may not make, with their lines."""
    if module.split(".")[0] in FREE:
        return []
    allowed = ALLOWED[_longest(module, set(ALLOWED)) or ""]
    boundaries = {*ALLOWED, *allowed}
    found = []
    for line, name in _imported(ast.parse(source), module):
        if name.split(".")[0] in sys.stdlib_module_names:
            continue
        if _longest(name, boundaries) not in allowed:
            found.append(f"{module}:{line} imports {name}")
    return found


def _modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_layers() -> None:
    found = []
    for path in _modules():
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found += violations(module, path.read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("module, source", [
    ("hw.config", "import hw.isa.host"),
    ("hw.isa.vector", "from amaranth.hdl import Module"),
    ("hw.core.top", "from sim import golden"),
    ("compiler.passes.fuse", "from hw.core.matrix import array"),
    ("compiler.passes.fuse", "def late():\n    from sim import golden"),
    ("sim.golden", "from sim.rtl import RtlSimulator"),
    ("sim.golden", "from .rtl import RtlSimulator"),
    ("sim.golden", "from sim import rtl"),
    ("sim.rtl", "import compiler.pipeline"),
    ("isthmus.cli", "from verif import build"),
])
def test_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize("module, source", [
    ("hw.isa.vector", "import numpy as np\nfrom hw.config import load"),
    ("sim.rtl", "from hw.core.top import Accelerator\nfrom sim.machine import Machine"),
    ("isthmus.api", "from sim.rtl import RtlSimulator\nfrom compiler.pipeline import compile_text"),
    ("verif.core.test_top", "import sim.rtl, compiler, examples"),
])
def test_permitted_import_is_not(module: str, source: str) -> None:
    assert not violations(module, source)
