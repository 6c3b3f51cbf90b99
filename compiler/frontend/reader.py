"""Parses StableHLO with the official MLIR reader and verifier in jaxlib's bindings."""

import re
from dataclasses import dataclass
from pathlib import Path

from jaxlib.mlir import ir
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import chlo, stablehlo

from compiler.errors import CompileError, Location

BYTECODE = b"ML\xefR"
ARTIFACT = b"StableHLO_v"
"""Producer name of a portable artifact, right behind the magic of MLIR bytecode."""


@dataclass(frozen=True)
class Source:
    """The input and the name errors call it by."""

    name: str
    content: str | bytes

    @property
    def is_text(self) -> bool:
        return isinstance(self.content, str)


def open_source(module: str | bytes | Path) -> Source:
    """Text stays text, bytes that are not bytecode become text, a path is read.

    A string is a path when it has neither a line end nor a brace.

    Raises:
        CompileError: the file cannot be read, or the bytes are neither bytecode nor text.
    """
    name = "<input>"
    if isinstance(module, Path) or (isinstance(module, str) and not re.search(r"[\n{]", module)):
        name = str(module)
        try:
            module = Path(module).read_bytes()
        except OSError as error:
            raise CompileError(f"cannot read {name}: {error.strerror}; give the path of a "
                               "StableHLO file") from error
    if isinstance(module, str):
        return Source(name, module)
    if module.startswith(BYTECODE):
        return Source(name, module)
    try:
        return Source(name, module.decode())
    except UnicodeDecodeError as error:
        raise CompileError("neither MLIR text nor MLIR bytecode: export the model with "
                           "jax.jit(f).lower(...).as_text()", Location(name)) from error


def _context() -> ir.Context:
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context = ir.Context()
    context.append_dialect_registry(registry)
    context.load_all_available_dialects()
    stablehlo.register_dialect(context)
    chlo.register_dialect(context)
    return context


def parse(source: Source) -> ir.Module:
    """The parsed and verified module.

    Raises:
        CompileError: the first diagnostic of parser or verifier, with its place.
    """
    context = _context()
    if isinstance(source.content, bytes) and ARTIFACT in source.content[:32]:
        return _parse_artifact(source, context)
    with context:
        try:
            return ir.Module.parse(source.content, context)
        except ir.MLIRError as error:
            raise _first_diagnostic(source, error) from error


def _parse_artifact(source: Source, context: ir.Context) -> ir.Module:
    messages: list[str] = []

    def collect(diagnostic: ir.Diagnostic) -> bool:
        messages.append(diagnostic.message)
        return True

    with context, context.attach_diagnostic_handler(collect):
        try:
            return stablehlo.deserialize_portable_artifact(context, source.content)
        except ValueError as error:
            reason = messages[0] if messages else str(error)
            raise CompileError(f"the portable artifact cannot be read: {reason}; export it again",
                               Location(source.name)) from error


def _first_diagnostic(source: Source, error: ir.MLIRError) -> CompileError:
    diagnostics = error.error_diagnostics
    if not diagnostics:
        return CompileError(error.message, Location(source.name))
    first = diagnostics[0]
    return CompileError(f"not valid StableHLO: {first.message}",
                        place_of(first.location, source.name))


def place_of(location: ir.Location, name: str) -> Location:
    """File, line and column of a location the parser made; line 0 for any other."""
    match = re.fullmatch(r'loc\("-":(\d+):(\d+)\)', str(location))
    return Location(name, int(match[1]), int(match[2])) if match else Location(name)
