"""Names for instructions: the StableHLO operation and the source line they came from."""

import re
from bisect import bisect_right
from pathlib import PurePath

from hw.isa.program import Program

OPERATIONS = "operations"
"""Key of `Program.notes`: for each description in `Program.sources` the operations compiled there,
that of the place itself first, then those fused with it."""
NAMED = 3
"""Operations of a group that are named; the others are counted."""
VIEWS = ("broadcast_in_dim", "iota", "reshape", "slice", "transpose")
"""Operations that are strides of what reads them: not named beside one that is work."""

_PLACE = re.compile(r"^(?P<file>.*?)(?::(?P<line>\d+):(?P<column>\d+))?(?: \((?P<name>.*)\))?$")


class Names:
    """Name of what an instruction was compiled from, by its index."""

    def __init__(self, program: Program) -> None:
        self._firsts = [first for first, _ in program.sources]
        self._labels = ["prologue", *(label(program, source) for _, source in program.sources)]

    def __call__(self, pc: int) -> str:
        return self._labels[bisect_right(self._firsts, pc)]


def label(program: Program, source: str) -> str:
    """`dot_general + add model.mlir:14` for a description of `Program.sources`."""
    return f"{operation(program, source)} {place(source)}".strip()


def operation(program: Program, source: str) -> str:
    """The operations at a place; the producer's name for it when the compiler noted none."""
    noted = program.notes.get(OPERATIONS)
    kinds = noted.get(source, ()) if isinstance(noted, dict) else ()
    names = [str(kind).removeprefix("stablehlo.") for kind in kinds]
    names = [name for name in names if name not in VIEWS] or names[:1]
    if names:
        rest = len(names) - NAMED
        return " + ".join(names[:NAMED]) + (f" + {rest} more" if rest > 0 else "")
    match = _PLACE.match(source)
    given = match["name"] if match and match["name"] else ""
    return given.rpartition("/")[2]


def place(source: str) -> str:
    """File, without its folder, and line of a description."""
    match = _PLACE.match(source)
    if not match or not match["file"]:
        return source
    file = PurePath(match["file"]).name
    return f"{file}:{match['line']}" if match["line"] else file
