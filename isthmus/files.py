"""Files the command line reads and writes."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sim.loader import Array


class UsageError(ValueError):
    """An argument that makes no sense; the message is one line."""


def arrays(path: str) -> "dict[str, Array]":
    """The arrays of an .npz file, by name."""
    import zipfile

    import numpy as np
    try:
        with np.load(path) as file:
            return dict(file)
    except (ValueError, zipfile.BadZipFile, TypeError, EOFError) as error:
        raise UsageError(f"{path}: not an .npz file of plain arrays: {error}") from error


def write(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file that appears only when it is complete."""
    target = Path(path)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.",
                                     delete=False) as file:
        partial = Path(file.name)
        try:
            write(file)
            file.flush()
            # mkstemp's mode is for private files; a program is as readable as any other output.
            umask = os.umask(0)
            os.umask(umask)
            partial.chmod(0o666 & ~umask)
            partial.replace(target)
        except BaseException:
            partial.unlink()
            raise
