"""What groups can read on chip, and how often they load what is not.

A generator whose transfers, streams or address patterns do not reach a tensor where it lies needs
it in DRAM.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from xdsl.ir import SSAValue

from compiler.codegen import pooling
from compiler.codegen.contraction_axes import Axis, merge
from compiler.codegen.contraction_prepare import Scheme, scheme
from compiler.codegen.convolution_shape import reads_on_chip
from compiler.ir.loops import Contraction, Load, Loop, Movement
from compiler.ir.ops import is_constant
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import free_dimensions
from compiler.ops.views import View
from hw.config import AcceleratorConfig
from hw.isa.params import LEVELS

ON_CHIP = ("concatenate", "pad")
"""Movements whose operands and results may be on chip."""


def loads(analysed: Loop | Contraction | Movement) -> Iterator[Load]:
    """The tensors that a group reads; each access once."""
    if isinstance(analysed, Movement):
        nodes: Iterable[object] = analysed.operands
    elif isinstance(analysed, Contraction):
        nodes = (*analysed.lefts, analysed.rhs, *analysed.epilogue.nodes)
    else:
        nodes = analysed.nodes
    yield from dict.fromkeys(node for node in nodes if isinstance(node, Load))


def bytes_read(load: Load) -> int:
    """Bytes of the elements that an access touches, each counted once."""
    view, tensor = load.view, tensor_of(load.value)
    touched = prod(n for n, stride in zip(view.shape, view.strides, strict=True) if stride)
    return min(touched * tensor.element.size, tensor.bytes)


def unreadable(analysed: Loop | Contraction | Movement, config: AcceleratorConfig
                ) -> Iterator[SSAValue]:
    """Operands that a generator needs in DRAM."""
    if isinstance(analysed, Movement):
        if analysed.op.kind == "reduce_window" and pooling.reads_on_chip(analysed):
            return
        if analysed.op.kind not in ON_CHIP:
            yield from (o.value for o in analysed.operands if isinstance(o, Load))
        return
    loop = analysed if isinstance(analysed, Loop) else analysed.epilogue
    for result in loop.results:
        node = loop.nodes[result.node]
        if isinstance(node, Load) and not node.view.is_whole:
            yield node.value  # a transposing copy goes through DRAM
    if isinstance(analysed, Contraction):
        yield from _unreadable_factors(analysed, config)


def constants(contraction: Contraction, config: AcceleratorConfig) -> dict[SSAValue, int]:
    """Constants that a contraction may read on chip, with the bytes of an element there: factors,
    which are as narrow as the array takes them, and what its result is combined with."""
    found = {value: min(tensor_of(value).element.size, ElementType.BF16.size)
             for value in _constant_factors(contraction, config)}
    for node in contraction.epilogue.nodes:
        if isinstance(node, Load) and is_constant(node.value):
            found[node.value] = tensor_of(node.value).element.size
    return found


def _constant_factors(contraction: Contraction, config: AcceleratorConfig) -> Iterator[SSAValue]:
    """Constants that are multiplied by as they are: those of a grouped convolution only when it is
    depthwise."""
    op = contraction.op
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), config.int8)
    groups = op.attrs.get("feature_group_count", 1)
    as_is = groups in (1, _features(contraction)) and made.parts == (1, 1) and not made.is_folded
    if as_is and is_constant(contraction.rhs.value):
        yield contraction.rhs.value


def _features(contraction: Contraction) -> int:
    """Input features of a convolution, 1 for a product."""
    if contraction.op.kind == "dot_general":
        return 1
    dimension = contraction.op.attrs["dimension_numbers"]["input_feature_dimension"]
    return contraction.lhs.view.shape[dimension]


def loaded_again(contraction: Contraction, config: AcceleratorConfig, room: int) -> int:
    """Bytes that a convolution of a large input loads more than once when its weights do not stay:
    its accumulators hold some of the results' rows at a time, and these need all weights, or some
    of their columns, and these need all of the input.

    Args:
        room: bytes of the largest input that may be on chip.
    """
    op, source = contraction.op, tensor_of(contraction.lhs.value).bytes
    if op.kind != "convolution" or source <= room:
        return 0
    features = op.tensor.shape[op.attrs["dimension_numbers"]["output_feature_dimension"]]
    rows, tiles = op.tensor.size // features, -(-features // config.array_cols)
    held = config.accumulator_rows // 2  # the others are being filled
    by_rows = tensor_of(contraction.rhs.value).bytes * (-(-rows * tiles // held) - 1)
    by_columns = source * (-(-tiles // max(held // rows, 1)) - 1)
    return min(by_rows, by_columns)


def _unreadable_factors(contraction: Contraction, config: AcceleratorConfig
                        ) -> Iterator[SSAValue]:
    op = contraction.op
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), config.int8)
    yield from (load.value for load in contraction.lefts if contraction.behind)
    for load, index in ((contraction.lhs, 0), (contraction.rhs, 1)):
        if op.kind == "convolution" and index == 0 and reads_on_chip(contraction, made):
            continue
        if op.kind != "dot_general" or made.parts != (1, 1) or load.element is not made.local \
                or not _suits_array(contraction, index, made):
            yield load.value


def _suits_array(contraction: Contraction, index: int, made: Scheme) -> bool:
    """Whether the array's address patterns reach a factor of a dot_general as it lies."""
    dims, side = contraction.op.attrs["dot_dimension_numbers"], ("lhs", "rhs")[index]
    contracted = dims[f"{side}_contracting_dimensions"]
    view = (contraction.lhs, contraction.rhs)[index].view
    free = free_dimensions(len(view.shape), [*dims[f"{side}_batching_dimensions"], *contracted])
    rows, k = merge(_axes(view, free)), merge(_axes(view, contracted))
    if made.is_folded or k[-1].strides[0] < 0:
        return False
    if index == 0:
        return k[-1].strides[0] == 1 and len(rows) <= LEVELS
    return len(rows) == 1 and (rows[0].strides[0] == 1 or k[-1].strides[0] == 1)


def _axes(view: View, dims: Sequence[int]) -> list[Axis]:
    return [Axis(view.shape[d], (view.strides[d],)) for d in dims] or [Axis(1, (1,))]
