"""The program file: header, named sections, checksum.

    offset 0   magic "ISTH", version (u16), number of sections (u16)
           8   configuration fingerprint (u64)
          16   length of the whole file (u64)
          24   section table: name (16 bytes, zero-padded), offset (u64), length (u64) each
               sections
    last 32    SHA-256 of everything before

All numbers are little-endian. Sections: `config` (JSON, the fields behind the
fingerprint), `text` (instruction words), `constants` (bytes of window 1),
`tensors` (JSON: inputs, outputs, window sizes), `sources` (JSON: where
instructions come from).
"""

import hashlib
import json
import math
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig, ConfigError

MAGIC = b"ISTH"
VERSION = 1
HEADER = struct.Struct("<4sHHQQ")
SECTION = struct.Struct("<16sQQ")
DIGEST_BYTES = 32
SECTIONS = ("config", "text", "constants", "tensors", "sources")

TEXT_WINDOW, CONSTANT_WINDOW, INPUT_WINDOW, OUTPUT_WINDOW, WORKSPACE_WINDOW = range(5)
"""DRAM windows by use. Text and constants are read-only, outputs and workspace writable,
inputs writable where an argument is donated."""

ITEM_BYTES = {"f32": 4, "bf16": 2, "f16": 2, "i32": 4, "ui32": 4, "i16": 2, "ui16": 2,
              "i8": 1, "ui8": 1, "i1": 1}
"""Element types of tensors, in MLIR's spelling, and their size in DRAM."""


class ProgramError(ValueError):
    """A file that is not a usable program; the message is one line."""


@dataclass(frozen=True)
class Tensor:
    """An argument or result: dense, row-major, at an offset of a window."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """For a dynamic dimension its upper bound."""
    window: int
    offset: int
    dynamic: tuple[int, ...] = ()
    """Dimensions whose size is given at run time."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass
class Program:
    """A compiled program, everything a simulator or host needs to run it."""

    config: AcceleratorConfig
    text: NDArray[np.uint64]
    constants: bytes = b""
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    input_bytes: int = 0
    output_bytes: int = 0
    workspace_bytes: int = 0
    sources: list[tuple[int, str]] = field(default_factory=list)
    """(first instruction, description) in ascending order."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What reports need: multiply-accumulates, compulsory DRAM bytes, narrowed types."""

    def source_of(self, pc: int) -> str:
        """Description of the operation instruction `pc` was compiled from."""
        found = ""
        for first, description in self.sources:
            if first > pc:
                break
            found = description
        return found

    def to_bytes(self) -> bytes:
        tensors = {
            "inputs": [asdict(t) for t in self.inputs],
            "outputs": [asdict(t) for t in self.outputs],
            "input_bytes": self.input_bytes, "output_bytes": self.output_bytes,
            "workspace_bytes": self.workspace_bytes, "notes": self.notes,
        }
        contents = (
            _json(self.config.as_dict()), self.text.astype("<u8").tobytes(), self.constants,
            _json(tensors), _json(self.sources),
        )
        offset = HEADER.size + len(SECTIONS) * SECTION.size
        table = b""
        for name, content in zip(SECTIONS, contents, strict=True):
            table += SECTION.pack(name.encode(), offset, len(content))
            offset += len(content)
        header = HEADER.pack(MAGIC, VERSION, len(SECTIONS), self.config.fingerprint,
                             offset + DIGEST_BYTES)
        payload = header + table + b"".join(contents)
        return payload + hashlib.sha256(payload).digest()

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.to_bytes())


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def load(path: str | Path, config: AcceleratorConfig | None = None) -> Program:
    """Reads a program file.

    Raises:
        ProgramError: missing, foreign, truncated, damaged, or for another configuration.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror or error}") from error
    try:
        return from_bytes(content, config)
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from error


def from_bytes(content: bytes, config: AcceleratorConfig | None = None) -> Program:
    """A program from a file's bytes, checked against `config` when one is given."""
    sections = _sections(content)
    try:
        fields = json.loads(sections["config"])
        built_for = AcceleratorConfig(**fields)
        tables = json.loads(sections["tensors"])
        sources = [(int(pc), str(text)) for pc, text in json.loads(sections["sources"])]
        program = Program(
            built_for, np.frombuffer(sections["text"], "<u8").astype(np.uint64),
            sections["constants"], _tensors(tables["inputs"]), _tensors(tables["outputs"]),
            int(tables["input_bytes"]), int(tables["output_bytes"]),
            int(tables["workspace_bytes"]), sources, dict(tables["notes"]),
        )
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise ProgramError(f"malformed program: {error}; compile it again") from error
    _check_fits(program)
    if HEADER.unpack_from(content)[3] != built_for.fingerprint:
        raise ProgramError("header and configuration disagree; compile it again")
    if config is not None and built_for.fingerprint != config.fingerprint:
        differing = ", ".join(config.differing_fields(built_for.as_dict()))
        raise ProgramError(
            f"compiled for configuration {built_for.name!r}, not {config.name!r} "
            f"(differs in {differing}); compile it for {config.name!r}")
    return program


def _sections(content: bytes) -> dict[str, bytes]:
    if len(content) < HEADER.size or content[:4] != MAGIC:
        raise ProgramError("not an Isthmus program (no ISTH magic); compile a model to get one")
    _, version, count, _, length = HEADER.unpack_from(content)
    if version != VERSION:
        raise ProgramError(f"format version {version}, this release reads {VERSION}; recompile")
    if length != len(content) or length < HEADER.size + count * SECTION.size + DIGEST_BYTES:
        raise ProgramError(f"truncated or overlong: {len(content)} bytes, header says {length}")
    payload, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise ProgramError("damaged: the checksum does not match; compile it again")
    sections = {}
    for i in range(count):
        name, offset, size = SECTION.unpack_from(content, HEADER.size + i * SECTION.size)
        if offset + size > len(payload):
            raise ProgramError("malformed program: a section leaves the file; compile it again")
        sections[name.rstrip(b"\0").decode("ascii", "replace")] = content[offset : offset + size]
    if missing := [name for name in SECTIONS if name not in sections]:
        raise ProgramError(f"malformed program: no section {missing[0]}; compile it again")
    return sections


def _tensors(rows: list[dict[str, Any]]) -> list[Tensor]:
    return [Tensor(**{**row, "shape": tuple(row["shape"]), "dynamic": tuple(row["dynamic"])})
            for row in rows]


def _check_fits(program: Program) -> None:
    sizes = {INPUT_WINDOW: program.input_bytes, OUTPUT_WINDOW: program.output_bytes,
             WORKSPACE_WINDOW: program.workspace_bytes, CONSTANT_WINDOW: len(program.constants)}
    if min(sizes.values()) < 0 or max(sizes.values()) >= 1 << 32:
        raise ProgramError("malformed program: a window's size is outside 0 to 4 GiB")
    for tensor in [*program.inputs, *program.outputs]:
        known = tensor.dtype in ITEM_BYTES and all(d >= 0 for d in tensor.shape)
        if not known or tensor.offset < 0 or (
                tensor.offset + tensor.nbytes > sizes.get(tensor.window, -1)):
            raise ProgramError(f"malformed program: tensor {tensor.name} leaves its window")
