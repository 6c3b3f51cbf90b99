"""A program as text: header, tensors, and the disassembly with its sources."""

from collections.abc import Iterator
from itertools import pairwise

from hw.isa.asm import listing
from hw.isa.program import Program, Tensor


def dump(program: Program) -> Iterator[str]:
    """Lines that show all of a program but its constants."""
    config = program.config
    yield f"configuration {config.name}, fingerprint {config.fingerprint:#018x}"
    yield (f"{len(program.text)} instructions, {len(program.constants)} bytes of constants, "
           f"windows: {program.input_bytes} input, {program.output_bytes} output, "
           f"{program.workspace_bytes} workspace bytes")
    for kind, tensors in (("input", program.inputs), ("output", program.outputs)):
        yield from (f"{kind:6} {_tensor(tensor)}" for tensor in tensors)
    for key, value in sorted(program.notes.items()):
        yield f"note   {key}: {value}"
    starts = [0, *(first for first, _ in program.sources), len(program.text)]
    for first, end in pairwise(starts):
        if first < end:
            yield f"; {program.source_of(first) or 'prologue'}"
            yield listing((int(word) for word in program.text[first:end]), first)


def _tensor(tensor: Tensor) -> str:
    shape = "x".join(
        f"<={size}" if axis in tensor.dynamic else str(size)
        for axis, size in enumerate(tensor.shape))
    kind = f"{shape}x{tensor.dtype}" if shape else tensor.dtype
    return f"{tensor.name}: {kind} at window {tensor.window} offset {tensor.offset:#x}"
