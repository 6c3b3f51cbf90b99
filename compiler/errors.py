"""What a user sees when a model cannot be compiled."""

from dataclasses import dataclass
from functools import lru_cache

from xdsl.dialects.builtin import FileLineColLoc, IntAttr, LocationAttr, NameLoc, StringAttr


@dataclass(frozen=True)
class Location:
    """A place in the input text, and the name its producer gave the operation.

    Attributes:
        file: path of the input, or `<input>` for text given in memory.
        line: 1-based; 0 when the input is binary and has no lines.
        column: 1-based.
        name: what the producer called it, such as `jit(f)/dot_general`; may be empty.
    """

    file: str = "<input>"
    line: int = 0
    column: int = 0
    name: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place} ({self.name})" if self.name else place

    def to_mlir(self) -> LocationAttr:
        return _to_mlir(self)

    @classmethod
    def from_mlir(cls, location: LocationAttr) -> "Location":
        """Inverse of `to_mlir`; any other location is an unknown place of the input."""
        name = ""
        place: object = location
        if isinstance(location, NameLoc):
            name, place = location.desc.data, location.location
        if not isinstance(place, FileLineColLoc):
            return cls(name=name)
        return cls(place.filename.data, place.line.data, place.column.data, name)


@lru_cache(maxsize=1024)
def _to_mlir(location: Location) -> LocationAttr:
    """Passes make several operations for one place."""
    place = FileLineColLoc(
        _string(location.file), IntAttr(location.line), IntAttr(location.column))
    return NameLoc(_string(location.name), place) if location.name else place


_string = lru_cache(maxsize=1024)(StringAttr)


class CompileError(Exception):
    """A model that cannot be compiled. One line: where, what, and what to do about it."""

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.location = location

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class NoRoomError(CompileError):
    """Buffers that do not fit a local memory; with fewer tensors kept on chip they might."""
