"""How instructions are described: fields of a 64-bit word, declared once per class.

Encoder, decoder, assembler, disassembler, Amaranth layouts, random programs and
the manual all read the descriptions kept in `INSTRUCTIONS`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from hw.isa.host import Engine

if TYPE_CHECKING:
    from hw.isa.state import MachineState

WORD_BITS = 64
WORD_BYTES = 8
OPCODE_BITS = 8


class IsaError(ValueError):
    """An instruction that cannot be encoded, decoded or parsed; the message says why."""


@dataclass(frozen=True)
class Field:
    """`width` bits from bit `lo`. `kind` chooses the assembler's notation."""

    lo: int
    width: int
    kind: str = "unsigned"
    """unsigned, signed, register (x), source or destination (vector operands), engine, dtype."""

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.lo

    def insert(self, value: int, name: str) -> int:
        low = -(1 << (self.width - 1)) if self.kind == "signed" else 0
        # A signed field also takes the unsigned spelling of its bits (0xFFFFFFFF for -1).
        if not low <= value < 1 << self.width:
            raise IsaError(f"field {name}: {value} does not fit {self.width} bits")
        return (value << self.lo) & self.mask

    def extract(self, word: int) -> int:
        value = (word >> self.lo) & ((1 << self.width) - 1)
        if self.kind == "signed" and value >> (self.width - 1):
            value -= 1 << self.width
        return value


def bits(lo: int, width: int, kind: str = "unsigned") -> Any:
    """Declares a field of an instruction class."""
    return dataclasses.field(default=0, metadata={"field": Field(lo, width, kind)})


def rd() -> Any:
    return bits(8, 5, "register")


def rs1() -> Any:
    return bits(13, 5, "register")


def rs2() -> Any:
    return bits(18, 5, "register")


def imm() -> Any:
    return bits(32, 32, "signed")


class Instruction:
    """Base of all instructions. The docstring's first sentence is the manual's."""

    MNEMONIC: ClassVar[str]
    OPCODE: ClassVar[int]
    FIELDS: ClassVar[dict[str, Field]]
    ENGINE: ClassVar[Engine | None]
    """The engine it is dispatched to; None when its `engine` field says."""
    RETIRES: ClassVar[bool] = False
    """Work the engine reports when it has finished, as `post` and `drain` count it."""
    is_body: ClassVar[bool] = False
    """Part of a vector kernel's body."""

    def encode(self) -> int:
        """The 64-bit word.

        Raises:
            IsaError: a value does not fit its field.
        """
        word = self.OPCODE
        for name, field in self.FIELDS.items():
            word |= field.insert(getattr(self, name), f"{self.MNEMONIC}.{name}")
        return word

    def value(self, name: str) -> int:
        """The value of a field known by name only."""
        return int(getattr(self, name))

    @property
    def target(self) -> Engine:
        """The engine that executes it."""
        return Engine(self.value("engine")) if self.ENGINE is None else self.ENGINE

    def execute(self, machine: "MachineState", a: int, b: int) -> None:
        """Meaning on the machine's state, with a = x[rs1] + imm and b = x[rs2].

        Raises:
            Fault: the machine stops.
        """
        raise IsaError(f"{self.MNEMONIC} is part of a kernel and has no meaning outside of one")


INSTRUCTIONS: dict[str, type[Instruction]] = {}
"""By mnemonic."""


def make(mnemonic: str, **fields: int) -> Instruction:
    """An instruction by its mnemonic; fields left out are zero."""
    cls: Callable[..., Instruction] = INSTRUCTIONS[mnemonic]
    return cls(**fields)


BY_OPCODE: dict[int, type[Instruction]] = {}

T = TypeVar("T", bound=Instruction)


@dataclass_transform(frozen_default=True)
def instruction(
    mnemonic: str, opcode: int, engine: Engine | None = Engine.SEQUENCER, retires: bool = False
) -> Callable[[type[T]], type[T]]:
    """Registers a class as an instruction; a clashing or overflowing encoding fails here."""

    return lambda cls: _register(dataclass(frozen=True)(cls), mnemonic, opcode, engine, retires)


def _register(cls: type[T], mnemonic: str, opcode: int, engine: Engine | None,
              retires: bool = False) -> type[T]:
    cls.MNEMONIC, cls.OPCODE, cls.ENGINE, cls.RETIRES = mnemonic, opcode, engine, retires
    cls.FIELDS = {
        f.name: f.metadata["field"] for f in dataclasses.fields(cls)  # type: ignore[arg-type]
    }
    _check(cls)
    INSTRUCTIONS[mnemonic] = cls
    BY_OPCODE[opcode] = cls
    return cls


def define(mnemonic: str, opcode: int, sentence: str, form: type[Instruction],
           engine: Engine | None = Engine.SEQUENCER) -> type[Instruction]:
    """Registers an instruction that shares fields and meaning with others of its form."""
    cls = type(mnemonic.capitalize(), (form,), {"__doc__": sentence, "__module__": form.__module__})
    return _register(cls, mnemonic, opcode, engine)


def _check(cls: type[Instruction]) -> None:
    if not 0 < cls.OPCODE < 1 << OPCODE_BITS:
        raise IsaError(f"{cls.MNEMONIC}: opcode {cls.OPCODE} is outside 1 to 255")
    if cls.OPCODE in BY_OPCODE or cls.MNEMONIC in INSTRUCTIONS:
        raise IsaError(f"{cls.MNEMONIC}: opcode {cls.OPCODE} or mnemonic already taken")
    used = (1 << OPCODE_BITS) - 1
    for name, field in cls.FIELDS.items():
        if field.lo + field.width > WORD_BITS:
            raise IsaError(f"{cls.MNEMONIC}.{name} overflows the word")
        if used & field.mask:
            raise IsaError(f"{cls.MNEMONIC}.{name} overlaps another field")
        used |= field.mask


def reserved_mask(cls: type[Instruction]) -> int:
    """Bits of the word that must be zero."""
    used = (1 << OPCODE_BITS) - 1
    for field in cls.FIELDS.values():
        used |= field.mask
    return ~used & ((1 << WORD_BITS) - 1)


def decode(word: int) -> Instruction:
    """The instruction a word stands for.

    Raises:
        IsaError: unknown opcode, reserved bits set, or no such engine.
    """
    cls = BY_OPCODE.get(word & ((1 << OPCODE_BITS) - 1))
    if cls is None:
        raise IsaError(f"unknown opcode {word & 0xFF:#04x} in word {word:#018x}")
    if word & reserved_mask(cls):
        raise IsaError(f"{cls.MNEMONIC}: reserved bits set in word {word:#018x}")
    values = {name: field.extract(word) for name, field in cls.FIELDS.items()}
    if "engine" in values and not _engine_allowed(cls, values["engine"]):
        raise IsaError(f"{cls.MNEMONIC}: no engine {values['engine']}")
    return cls(**values)


def _engine_allowed(cls: type[Instruction], engine: int) -> bool:
    lowest = Engine.LOAD if cls.MNEMONIC == "set" else Engine.SEQUENCER
    return lowest <= engine <= Engine.VECTOR
