"""Instruction words in hardware: fields, recognition and legality, from the ISA's descriptions."""

import dataclasses

from amaranth.hdl import Array, Const, Mux, Value

import hw.isa.dma
import hw.isa.matrix
import hw.isa.scalar
import hw.isa.sync
import hw.isa.vector  # noqa: F401  (importing the modules registers their instructions)
from hw.isa.encoding import BY_OPCODE, OPCODE_BITS, Field, Instruction, reserved_mask
from hw.isa.host import Engine
from hw.isa.sync import Set

OPCODES = 1 << OPCODE_BITS


def field(word: Value, form: type[Instruction], name: str) -> Value:
    """Field `name` of a word that is an instruction of class or form `form`; signed if it is."""
    described = _field(form, name)
    value = Value.cast(word)[described.lo : described.lo + described.width]
    return value.as_signed() if described.kind == "signed" else value


def is_a(word: Value, *forms: type[Instruction]) -> Value:
    """Whether the word is one of these instructions; a form stands for all of its instructions."""
    return Value.cast(word)[:OPCODE_BITS].matches(*opcodes(*forms))


def opcodes(*forms: type[Instruction]) -> list[int]:
    """Opcodes of these instructions and of all instructions of these forms."""
    return sorted(code for code, known in BY_OPCODE.items() if issubclass(known, forms))


def legal(word: Value) -> Value:
    """Whether the word is an instruction: known opcode, reserved bits zero, an existing engine."""
    word = Value.cast(word)
    masks = sorted({reserved_mask(known) for known in BY_OPCODE.values()})
    nothing = len(masks)
    kind = Array(
        Const(masks.index(reserved_mask(BY_OPCODE[code])) if code in BY_OPCODE else nothing,
              range(nothing + 1))
        for code in range(OPCODES)
    )[word[:OPCODE_BITS]]
    clear = Array([*((word & mask) == 0 for mask in masks), Const(0)])[kind]
    engine = target(word)
    return clear & (engine <= Engine.VECTOR) & ~(is_a(word, Set) & (engine == Engine.SEQUENCER))


def target(word: Value) -> Value:
    """Number of the engine that a legal word is for."""
    word = Value.cast(word)
    named = [code for code, known in BY_OPCODE.items() if known.ENGINE is None]
    fixed = Array(
        Const(_fixed_engine(code), range(len(Engine))) for code in range(OPCODES)
    )[word[:OPCODE_BITS]]
    return Mux(word[:OPCODE_BITS].matches(*named), field(word, Set, "engine"), fixed)


def retires(word: Value) -> Value:
    """Whether the word is work that its engine reports when finished."""
    codes = [code for code, known in BY_OPCODE.items() if known.RETIRES]
    return Value.cast(word)[:OPCODE_BITS].matches(*codes)


def _field(form: type[Instruction], name: str) -> Field:
    for declared in dataclasses.fields(form):  # type: ignore[arg-type]
        if declared.name == name:
            found: Field = declared.metadata["field"]
            return found
    raise KeyError(f"{form.__name__} has no field {name}")


def _fixed_engine(code: int) -> int:
    known = BY_OPCODE.get(code)
    return int(known.ENGINE or 0) if known else 0
