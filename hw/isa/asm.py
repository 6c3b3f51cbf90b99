"""Text assembler and disassembler, derived from the instruction classes.

One instruction a line, operands in the order of the class's fields:

    loop_start:
        set   vector, x0, s0.base, 0x1000     # engines and parameters by name
        fadd  d0, s0, v1, 2                    # last operand: swz
        bne   x1, x2, loop_start               # labels stand for pc-relative immediates
"""

import re
from collections.abc import Iterable

from hw.isa import encoding
from hw.isa.dtypes import DType
from hw.isa.encoding import INSTRUCTIONS, Field, Instruction, IsaError
from hw.isa.host import Engine
from hw.isa.params import (
    CONSTANTS,
    INPUT_NAMES,
    INPUT_STREAMS,
    OUTPUT_NAMES,
    OUTPUT_STREAMS,
    VECTOR_STRIP,
    DmaParam,
    MatrixParam,
    constant,
    input_stream,
    output_stream,
)
from hw.isa.vector import DESTINATIONS, OPERANDS

_VECTOR_PARAMETERS = {
    "strip": VECTOR_STRIP,
    **{f"k{i}": constant(i) for i in range(CONSTANTS)},
    **{f"s{i}.{name}": input_stream(i, p)
       for i in range(INPUT_STREAMS) for name, p in INPUT_NAMES.items()},
    **{f"d{i}.{name}": output_stream(i, p)
       for i in range(OUTPUT_STREAMS) for name, p in OUTPUT_NAMES.items()},
}
PARAMETERS: dict[int, dict[str, int]] = {
    Engine.LOAD: {p.name.lower(): int(p) for p in DmaParam},
    Engine.STORE: {p.name.lower(): int(p) for p in DmaParam},
    Engine.MATRIX: {p.name.lower(): int(p) for p in MatrixParam},
    Engine.VECTOR: _VECTOR_PARAMETERS,
}
"""Parameter names of each engine."""
_NAMES = {
    "source": OPERANDS, "destination": DESTINATIONS,
    "dtype": {t.name.lower(): int(t) for t in DType},
    "engine": {e.name.lower(): int(e) for e in Engine},
    "register": {f"x{i}": i for i in range(32)},
}
_BY_VALUE = {kind: {v: k for k, v in names.items()} for kind, names in _NAMES.items()}
_PARAMETER_BY_VALUE = {engine: {v: k for k, v in names.items()}
                       for engine, names in PARAMETERS.items()}


def disassemble(instruction: Instruction) -> str:
    """The instruction as a line that `assemble` reads back."""
    operands = [_format(instruction, name, field) for name, field in instruction.FIELDS.items()]
    return f"{instruction.MNEMONIC:7} {', '.join(operands)}".rstrip()


def _format(instruction: Instruction, name: str, field: Field) -> str:
    value: int = getattr(instruction, name)
    if instruction.MNEMONIC == "set" and name == "index":
        return _PARAMETER_BY_VALUE[instruction.target].get(value, str(value))
    if field.kind in _BY_VALUE:
        return _BY_VALUE[field.kind].get(value, str(value))
    return hex(value) if value >= 4096 else str(value)


def disassemble_word(word: int) -> str:
    """A word as text; what does not decode is shown as data."""
    try:
        return disassemble(encoding.decode(word))
    except IsaError as error:
        return f".word   {word:#018x}  # {error}"


def listing(words: Iterable[int], first: int = 0, mark: int | None = None) -> str:
    """Numbered disassembly; the instruction `mark` is pointed at."""
    return "\n".join(
        f"{'->' if pc == mark else '  '}{pc:6}: {disassemble_word(int(word))}"
        for pc, word in enumerate(words, first))


def assemble(text: str) -> list[Instruction]:
    """Instructions of an assembly text.

    Raises:
        IsaError: with the line number, what is wrong in it.
    """
    lines: list[tuple[int, str]] = []
    labels: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].strip()
        while match := re.match(r"([A-Za-z_]\w*):\s*", line):
            labels[match[1]] = len(lines)
            line = line[match.end():]
        if line:
            lines.append((number, line))
    program = []
    for pc, (number, line) in enumerate(lines):
        try:
            program.append(_parse(line, pc, labels))
        except IsaError as error:
            raise IsaError(f"line {number}: {error}") from error
    return program


def _parse(line: str, pc: int, labels: dict[str, int]) -> Instruction:
    mnemonic, _, rest = line.partition(" ")
    cls = INSTRUCTIONS.get(mnemonic)
    if cls is None:
        raise IsaError(f"unknown instruction {mnemonic!r}")
    operands = [o.strip() for o in rest.split(",")] if rest.strip() else []
    if len(operands) > len(cls.FIELDS):
        raise IsaError(f"{mnemonic} takes {len(cls.FIELDS)} operands, not {len(operands)}")
    values: dict[str, int] = {}
    # Operands left out at the end are zero.
    for (name, field), operand in zip(cls.FIELDS.items(), operands, strict=False):
        values[name] = _value(cls, name, field, operand, values, pc, labels)
    instruction = cls(**values)
    instruction.encode()
    return instruction


def _value(cls: type[Instruction], name: str, field: Field, operand: str,
           values: dict[str, int], pc: int, labels: dict[str, int]) -> int:
    names = _NAMES.get(field.kind, {})
    if cls.MNEMONIC == "set" and name == "index":
        names = PARAMETERS.get(values["engine"], {})
    if operand in names:
        return names[operand]
    if name == "imm" and operand in labels:
        return labels[operand] - pc
    try:
        return int(operand, 0)
    except ValueError:
        raise IsaError(f"{cls.MNEMONIC}: {name} cannot be {operand!r}") from None


def encode(program: Iterable[Instruction]) -> list[int]:
    """The words of a program."""
    return [instruction.encode() for instruction in program]
