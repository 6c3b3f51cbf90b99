"""Puts a program and its inputs into memory windows, and takes the outputs out again.

The golden model gives every window an array of its own; the RTL simulation makes the windows
views of one DRAM array. Both use the functions of this file on them.
"""

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.isa.program import (
    CONSTANT_WINDOW,
    INPUT_WINDOW,
    OUTPUT_WINDOW,
    TEXT_WINDOW,
    WORKSPACE_WINDOW,
    Program,
    Tensor,
)
from hw.isa.state import Window

Array = NDArray[np.generic]

NUMPY_TYPES: dict[str, np.dtype[np.generic]] = {
    "f32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16),
    "f16": np.dtype(np.float16), "i32": np.dtype(np.int32), "ui32": np.dtype(np.uint32),
    "i16": np.dtype(np.int16), "ui16": np.dtype(np.uint16), "i8": np.dtype(np.int8),
    "ui8": np.dtype(np.uint8), "i1": np.dtype(np.bool_),
}
"""numpy's type for each element type of `hw.isa.program`."""


class InputError(ValueError):
    """Inputs that do not match the program; the message is one line."""


def restored(array: Array) -> Array:
    """An array as it was before it went through an .npz file, which keeps bfloat16 as raw bytes."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array


def window_sizes(program: Program) -> dict[int, int]:
    """Bytes of each window the program uses."""
    return {
        TEXT_WINDOW: 8 * len(program.text), CONSTANT_WINDOW: len(program.constants),
        INPUT_WINDOW: program.input_bytes, OUTPUT_WINDOW: program.output_bytes,
        WORKSPACE_WINDOW: program.workspace_bytes,
    }


def grant(program: Program, memories: Mapping[int, NDArray[np.uint8]] | None = None
          ) -> dict[int, Window]:
    """The program's windows with their rights, over `memories` or over new zeroed memory."""
    donated = any(tensor.window == INPUT_WINDOW for tensor in program.outputs)
    writable = {OUTPUT_WINDOW, WORKSPACE_WINDOW} | ({INPUT_WINDOW} if donated else set())
    windows = {}
    for index, size in window_sizes(program).items():
        memory = np.zeros(size, np.uint8) if memories is None else memories[index]
        windows[index] = Window(memory, readable=True, writable=index in writable)
    return windows


def fill(program: Program, inputs: Sequence[Array], windows: Mapping[int, Window]) -> None:
    """Writes text, constants and inputs into the windows.

    Raises:
        InputError: wrong number, shape or type of inputs.
    """
    windows[TEXT_WINDOW].data[:] = program.text.astype("<u8").view(np.uint8)
    windows[CONSTANT_WINDOW].data[:] = np.frombuffer(program.constants, np.uint8)
    if len(inputs) != len(program.inputs):
        raise InputError(f"{len(inputs)} inputs given, the program takes {len(program.inputs)}")
    for tensor, array in zip(program.inputs, inputs, strict=True):
        _slot(tensor, windows)[:] = _checked(tensor, array).reshape(-1).view(np.uint8)


def outputs(program: Program, windows: Mapping[int, Window]) -> list[Array]:
    """Copies of the output tensors."""
    return [_slot(tensor, windows).copy().view(NUMPY_TYPES[tensor.dtype]).reshape(tensor.shape)
            for tensor in program.outputs]


def store_outputs(program: Program, arrays: Sequence[Array], windows: Mapping[int, Window]) -> None:
    """Puts output tensors back where the program leaves them; the inverse of `outputs`."""
    for tensor, array in zip(program.outputs, arrays, strict=True):
        _slot(tensor, windows)[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _slot(tensor: Tensor, windows: Mapping[int, Window]) -> NDArray[np.uint8]:
    return windows[tensor.window].data[tensor.offset : tensor.offset + tensor.nbytes]


def _checked(tensor: Tensor, array: Array) -> Array:
    expected = NUMPY_TYPES[tensor.dtype]
    array = restored(np.ascontiguousarray(array).reshape(np.shape(array)))
    if array.dtype != expected:
        raise InputError(f"input {tensor.name} has type {array.dtype}, the program takes "
                         f"{expected}: convert it")
    if array.shape != tensor.shape:
        raise InputError(f"input {tensor.name} has shape {array.shape}, the program takes "
                         f"{tensor.shape}")
    return array
