"""Reads StableHLO (text, MLIR bytecode, portable artifact) into the tensor-level IR."""

from compiler.frontend.load import Model, load

__all__ = ["Model", "load"]
