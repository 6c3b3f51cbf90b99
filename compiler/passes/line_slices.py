"""Depthwise convolutions in slices of lines, so that the product that follows reads them on chip.

Where the array shares the work of a depthwise convolution (`finite`), the bus limits the product:
what it reads would be stored and loaded again. In slices, each with the lines of the input that its
windows reach, the result stays on chip until the product has read it. The product's slice follows
the next one of the convolution, so that neither waits for the other. No sum changes.

Neighbouring slices load some lines twice. With a stride the input is so much larger than the result
that this costs more than it saves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp, erase_unused, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.ops.contraction import spatial_windows
from compiler.ops.elementwise import Elementwise
from compiler.passes.slicing import Cuts, Slicer, resized

SHARE = 4
"""A slice takes at most the scratchpad divided by this: two are on chip, and the input of one."""


@dataclass(frozen=True)
class Chain:
    """A convolution, elementwise work, a product of the result, and elementwise work on that.

    Attributes:
        lines: the dimension that is cut, the same in all results.
    """

    opening: list[HloOp]
    closing: list[HloOp]
    lines: int

    @property
    def bytes(self) -> int:
        """What is between convolution and product."""
        return tensor_of(self.opening[-1].results[0]).bytes


def line_slices(module: ModuleOp, scratchpad_bytes: int) -> None:
    """Cuts every such chain whose inner value is too large for the scratchpad."""
    block = main_function(module).body.block
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.parent is block and _is_shared(op):
            chain = _chain(op)
            if chain is not None and chain.bytes > scratchpad_bytes:
                _slice(chain, scratchpad_bytes // SHARE)
    erase_unused(block)


def _is_shared(op: HloOp) -> bool:
    """Whether the array may take a part in a depthwise convolution, and its lines are one block
    of memory."""
    if op.kind != "convolution" or not op.attrs.get("finite"):
        return False
    dims, rank = op.attrs["dimension_numbers"], op.tensor.rank
    spatial = tuple(dims["output_spatial_dimensions"])
    lines = spatial[0] if spatial else 0
    return (len(spatial) == 2 and op.attrs.get("feature_group_count", 1) == op.tensor.shape[-1]
            and dims["output_feature_dimension"] == dims["input_feature_dimension"] == rank - 1
            and tuple(dims["input_spatial_dimensions"]) == spatial == (lines, lines + 1)
            and prod(op.tensor.shape[:lines]) == 1
            and all(w.base_dilation == w.stride == 1 for w in spatial_windows(op.call)))


def _chain(first: HloOp) -> Chain | None:
    opening = [first, *_elementwise(first.results[0])]
    value = opening[-1].results[0]
    product = _only_user(value)
    if product is None or product.kind != "dot_general" or product.operands[0] is not value:
        return None
    numbers = product.attrs["dot_dimension_numbers"]
    if numbers["lhs_batching_dimensions"] or \
            tuple(numbers["lhs_contracting_dimensions"]) != (first.tensor.rank - 1,):
        return None
    return Chain(opening, [product, *_elementwise(product.results[0])],
                 first.attrs["dimension_numbers"]["output_spatial_dimensions"][0])


def _elementwise(value: SSAValue) -> list[HloOp]:
    """What alone uses a value, and so on."""
    found: list[HloOp] = []
    user = _only_user(value)
    while user is not None and isinstance(user.definition, Elementwise):
        found.append(user)
        user = _only_user(user.results[0])
    return found


def _only_user(value: SSAValue) -> HloOp | None:
    uses = list(value.uses)
    user = uses[0].operation if len(uses) == 1 else None
    return user if isinstance(user, HloOp) and len(user.results) == 1 else None


def _slice(chain: Chain, budget: int) -> None:
    first, last = chain.opening[0], chain.closing[-1]
    extent = first.tensor.shape[chain.lines]
    step = -(-extent // min(-(-chain.bytes // budget), extent))
    slicer = Slicer(lambda _: False)
    parts: list[SSAValue] = []
    order: list[HloOp] = []
    pending: list[HloOp] = []
    for start in range(0, extent, step):
        cuts = ((chain.lines, start, min(step, extent - start)),)
        done = len(slicer.made)
        slicer.know(first.results[0], cuts, _convolution(slicer, first, cuts))
        if chain.opening[1:]:
            _apply(slicer, chain.opening[1:], cuts)
        order += [*slicer.made[done:], *pending]
        done = len(slicer.made)
        parts.append(_apply(slicer, chain.closing, cuts))
        pending = slicer.made[done:]
    join = make("concatenate", parts, None, {"dimension": chain.lines}, location=last.source)
    insert_before(last, [*order, *pending, join])
    replace(last, join.results)


def _apply(slicer: Slicer, ops: Sequence[HloOp], cuts: Cuts) -> SSAValue:
    """The operations on slices; the last one's."""
    for op in ops:
        part = slicer.apply(op, cuts)
        assert part is not None
        slicer.know(op.results[0], cuts, part)
    return slicer.slice(ops[-1].results[0], cuts)


def _convolution(slicer: Slicer, op: HloOp, cuts: Cuts) -> SSAValue:
    """Lines of a convolution, made of the lines that their windows reach."""
    ((lines, start, size),) = cuts
    windows = spatial_windows(op.call)
    window = windows[0]
    low = start * window.stride - window.low
    high = (start + size - 1) * window.stride - window.low + (
        window.size - 1) * window.dilation + 1
    begin, end = max(low, 0), min(high, window.extent)
    source = slicer.slice(op.operands[0], ((lines, begin, end - begin),))
    padding = ((begin - low, high - end), *((w.low, w.high) for w in windows[1:]))
    part = make(op.kind, [source, op.operands[1]], [resized(op.tensor, cuts)],
                {**op.attrs, "padding": padding}, location=op.source)
    slicer.made.append(part)
    return part.results[0]
