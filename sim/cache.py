"""A cache of built directories under `.cache/`, safe when several processes build at once."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = Path(os.environ.get("ISTHMUS_CACHE", ROOT / ".cache"))
"""Where builds are kept; the environment variable ISTHMUS_CACHE moves it."""


def fingerprint(*parts: str | bytes) -> str:
    """A name for everything that went into a build, 24 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory `.cache/<kind>/<key>`, filled by `build` unless it is already there.

    `build` works in a temporary directory that is renamed when it returns, so a directory
    under its final name is always complete; a second process waits for the first.
    """
    final = DIRECTORY / kind / key
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(final.with_name(f"{key}.lock")):
        if not final.is_dir():
            _fill(final, build)
    return final


def _fill(final: Path, build: Callable[[Path], None]) -> None:
    partial = final.with_name(f"{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    build(partial)
    partial.rename(final)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
