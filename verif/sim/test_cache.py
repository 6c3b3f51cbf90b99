"""The build cache: complete or absent, and built once however many ask for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sim import cache
from sim.cache import cached, fingerprint


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "DIRECTORY", tmp_path)


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fails(directory: Path) -> None:
        (directory / "half").write_text("")
        raise RuntimeError("compiler missing")

    with pytest.raises(RuntimeError):
        cached("kind", "key", fails)
    assert not (tmp_path / "kind" / "key").exists()
    assert cached("kind", "key", lambda path: (path / "whole").touch()) == tmp_path / "kind" / "key"
    assert [path.name for path in (tmp_path / "kind" / "key").iterdir()] == ["whole"]


def test_concurrent_builds_happen_once() -> None:
    builds: list[Path] = []

    def build(directory: Path) -> None:
        builds.append(directory)
        (directory / "file").write_text("x" * 100_000)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached("kind", "key", build), range(8)))
    assert len(builds) == 1
    assert {(path / "file").stat().st_size for path in found} == {100_000}


def test_fingerprint_separates_its_parts() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("ab") == fingerprint(b"ab")
