"""Operands in a form the matrix unit multiplies: bf16 parts of floats, s8 digits of integers.

Floats. Precision DEFAULT takes f32 operands rounded to bf16, which costs nothing: the load DMA
rounds. HIGH takes two parts of each operand, HIGHEST three: x = hi + mid + lo, each the bf16
nearest to what is left. Products of parts are summed smallest first, each over all of k:

    HIGH      mid*hi, hi*mid, hi*hi
    HIGHEST   lo*hi, mid*mid, hi*lo, mid*hi, hi*mid, hi*hi        (lhs part * rhs part)

f16 operands, which bf16 cannot hold, always have two parts. With more than one part an infinite
operand gives NaN: it has no finite rest.

Integers. s8 is used as it is; wider types and u8 are split into signed digits to the base 256,
x = d0 + 256*d1 + ...; products of digits i and j belong to 256**(i+j). Sums of equal weight are
made together, the heaviest first, and folded: total = (total << 8) + sum, modulo 2**32. Without
int8 the digits are multiplied as bf16, exact in f32 over at most EXACT_RUN steps of k.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from compiler.codegen import elementwise
from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context, Place
from compiler.codegen.copies import copy
from compiler.codegen.elementwise import Nest, Target
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.codegen.loop_graph import operand_of
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.loops import Load
from compiler.ir.ops import constant_values
from compiler.ir.types import ElementType, Tensor
from compiler.ops.builder import Builder, V
from compiler.ops.interpret import BitInterpreter, from_lanes, to_lanes
from compiler.ops.views import View
from hw.isa.numerics import Bits
from hw.isa.program import CONSTANT_WINDOW, WORKSPACE_WINDOW

EXACT_RUN = 1024
"""Products of s8 digits are at most 2**14: so many of them have an exact f32 sum."""
PARTS = {"DEFAULT": 1, "HIGH": 2, "HIGHEST": 3}
TERMS = {1: ((0, 0),), 2: ((1, 0), (0, 1), (0, 0)),
         3: ((2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0))}
"""(lhs part, rhs part) in the order of summation, by number of parts."""
BASE_BITS = 8

CHUNK = 1 << 18
"""Elements of a constant that are converted at a time: they stay in the cache."""

Term = tuple[int, int]
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Scheme:
    """How a product of two element types is made of products the matrix unit has.

    Attributes:
        parts: of lhs and of rhs.
        groups: terms that are summed together; before a later group is added the total so far
            is shifted left by BASE_BITS. Floats have one group.
        local: element type of the parts.
        run: the longest run of k in the accumulators, None for any.
    """

    parts: tuple[int, int]
    groups: tuple[tuple[Term, ...], ...]
    local: ElementType
    run: int | None = None

    @property
    def is_folded(self) -> bool:
        """Whether totals are made of several sums, or sums are not of the result's type."""
        return len(self.groups) > 1 or self.run is not None


def scheme(lhs: ElementType, rhs: ElementType, precision: Sequence[str], int8: bool) -> Scheme:
    """The scheme for two element types.

    Args:
        precision: StableHLO's precision of each operand; empty for DEFAULT.
        int8: whether the matrix unit multiplies integers.
    """
    if lhs.is_float:
        parts = max(PARTS[p] for p in precision) if precision else 1
        if ElementType.F32 not in (lhs, rhs):
            parts = 1
        if ElementType.F16 in (lhs, rhs):
            parts = max(parts, 2)
        return Scheme((parts, parts), (TERMS[parts],), ElementType.BF16)
    digits = _digits(lhs), _digits(rhs)
    weights = range(min(sum(digits) - 2, 32 // BASE_BITS - 1), -1, -1)
    groups = tuple(tuple((i, w - i) for i in range(digits[0]) if 0 <= w - i < digits[1])
                   for w in weights)
    return Scheme(digits, groups, ElementType.I8 if int8 else ElementType.BF16,
                  None if int8 else EXACT_RUN)


def _digits(element: ElementType) -> int:
    if element is ElementType.I8 or element.bits == 32:
        return element.bits // BASE_BITS
    # Signed digits of other types may carry; at 32 bits the carry would be worth 2**32.
    return element.bits // BASE_BITS + 1


def split(b: Builder[V], x: V, element: ElementType, parts: int) -> list[V]:
    """The parts of a lane, most significant first for floats, least for integers."""
    if element.is_float:
        return _float_parts(b, x, parts)
    digits, shift = [], b.const(32 - BASE_BITS)
    for number in range(parts):
        digit = b.sar(b.shl(x, shift), shift)
        digits.append(digit)
        if number + 1 < parts:
            x = b.sar(b.isub(x, digit), b.const(BASE_BITS))
    return digits


def _float_parts(b: Builder[V], x: V, parts: int) -> list[V]:
    found = [b.rbf(x)]
    for _ in range(parts - 1):
        x = b.fsub(x, found[-1])
        found.append(b.rbf(x))
    return found


@dataclass(frozen=True)
class Prepared:
    """An operand's parts in DRAM, all walked alike.

    Attributes:
        places: of each part; `temporary` when they are to be freed.
        view: strides and offset in elements.
        arrays: of a constant that has no place yet, its parts, row-major in the order of `view`.
    """

    places: tuple[Place, ...]
    view: View
    temporary: bool = False
    arrays: tuple[Array, ...] = ()

    def free(self, context: Context) -> None:
        """Gives temporary places back."""
        for place in self.places if self.temporary else ():
            context.workspace.free(place.offset, place.tensor.bytes)


def prepare(context: Context, load: Load, parts: int, local: ElementType, order: Sequence[int],
            location: Location, is_placed: bool = True) -> Prepared:
    """An operand as parts of the type `local`, or as a type the DMA converts to it.

    Args:
        is_placed: a constant gets its place in DRAM, too.
        order: the operand's dimensions as they lie best in memory, outermost first; heeded where
            the layout is free to choose.
    """
    constant = constant_values(load.value)
    if constant is not None:
        prepared = _prepare_constant(context, constant, load, parts, local, order,
                                     is_placed or load.value in context.kept)
        return _kept(context, load, prepared, location)
    as_is = load.element is local or (load.element, local) == (ElementType.F32, ElementType.BF16)
    if parts == 1 and as_is:
        return Prepared((context.place(load.value),), load.view)
    tensor = Tensor(load.view.shape, local)
    places = tuple(_workspace(context, tensor) for _ in range(parts))
    graph = Graph(context.config.special_function_unit)
    values = split(graph, graph.input(0), load.element, parts)
    if local.is_float and not load.element.is_float:
        values = [graph.i2f(v) for v in values]
    elementwise.generate(context, Nest(
        load.view.shape, (operand_of(context, load),), graph, tuple(values),
        tuple(Target.whole(place) for place in places), location))
    return Prepared(places, View.whole(tensor), temporary=True)


def _kept(context: Context, load: Load, prepared: Prepared, location: Location) -> Prepared:
    """The constant on chip if it is to stay there."""
    if len(prepared.places) > 1:
        return prepared
    (place,) = prepared.places
    return replace(prepared, places=(kept(context, load.value, place, location),))


def kept(context: Context, value: SSAValue, place: Place, location: Location) -> Place:
    """Where a constant lies on chip if it is to stay there, loaded when it is first asked for.

    Args:
        place: in DRAM.
    """
    address = context.kept.get(value)
    if address is None:
        return place
    size, dtype = place.tensor.element.size, place.tensor.element.memory
    if value not in context.loaded:
        context.loaded[value] = place
        for transfer in transfers(place.window, place.offset, address,
                                  [Step(place.tensor.size, size, size)], dtype, dtype):
            context.load(transfer, location)
    if context.loaded[value] != place:
        return place  # it is kept in another layout
    return Place(LOCAL, address, place.tensor)


def arranged(context: Context, operand: Prepared, order: Sequence[int], location: Location
             ) -> Prepared:
    """The operand with the last dimension of `order` innermost, copied if it is not."""
    if operand.view.strides[order[-1]] == 1 or operand.view.shape[order[-1]] == 1:
        return operand
    shape = operand.view.shape
    tensor = Tensor(tuple(shape[d] for d in order), operand.places[0].tensor.element)
    walk = View(tensor.shape, tuple(operand.view.strides[d] for d in order), operand.view.offset)
    places = tuple(_workspace(context, tensor) for _ in operand.places)
    for place, target in zip(operand.places, places, strict=True):
        copy(context, Operand(place, walk), target, location)
    operand.free(context)
    return Prepared(places, _permuted(tensor, order), temporary=True)


def _permuted(tensor: Tensor, order: Sequence[int]) -> View:
    """A tensor whose dimensions are `order` of another's, as that other one."""
    shape, strides = [0] * len(order), [0] * len(order)
    for d, extent, stride in zip(order, tensor.shape, tensor.strides, strict=True):
        shape[d], strides[d] = extent, stride
    return View(tuple(shape), tuple(strides))


def _workspace(context: Context, tensor: Tensor) -> Place:
    return Place(WORKSPACE_WINDOW, context.workspace.allocate(tensor.bytes), tensor)


def _prepare_constant(context: Context, values: Array, load: Load, parts: int,
                      local: ElementType, order: Sequence[int], is_placed: bool) -> Prepared:
    """Split and laid out by the compiler."""
    ordered = viewed(values, load.view, order)
    tensor = Tensor(ordered.shape, local)
    arrays = tuple(constant_parts(ordered, load.element, parts, local))
    view = _permuted(tensor, order)
    if not is_placed:
        return Prepared((Place(CONSTANT_WINDOW, 0, tensor),) * parts, view, arrays=arrays)
    return Prepared(tuple(Place(CONSTANT_WINDOW, context.constants.add(array), tensor)
                          for array in arrays), view)


def viewed(values: Array, view: View, order: Sequence[int]) -> Array:
    """A constant's elements as a view walks them, dimensions in another order; no copy."""
    flat = np.ascontiguousarray(values).reshape(-1)[view.offset:]
    size = flat.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        flat, [view.shape[d] for d in order], [view.strides[d] * size for d in order],
        writeable=False)


def constant_parts(values: Array, element: ElementType, parts: int, local: ElementType
                   ) -> list[Array]:
    """The parts of a constant, in its shape."""
    if parts == 1 and element is local:
        return [values]
    found: list[Array] = [np.empty(values.size, local.numpy) for _ in range(parts)]
    flat = values.reshape(-1)
    for first in range(0, values.size, CHUNK):
        piece = slice(first, first + CHUNK)
        for part, lanes in zip(found, _lane_parts(to_lanes(flat[piece]), element, parts, local),
                               strict=True):
            part[piece] = from_lanes(lanes, local)
    return [part.reshape(values.shape) for part in found]


def _lane_parts(lanes: Bits, element: ElementType, parts: int, local: ElementType) -> list[Bits]:
    if parts == 1 and element.is_float and local.is_float:
        return [lanes]
    b = BitInterpreter()
    values = split(b, lanes, element, parts)
    if local.is_float and not element.is_float:
        values = [b.i2f(v) for v in values]
    return values
