"""Comparison, minimum and maximum of integers and floats."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.core.float.format import FLOAT32, QUIET_NAN, fields, is_nan
from hw.core.vector.operations import Order, Relation

COMPARISON = data.StructLayout({"holds": 1, "minimum": 32, "maximum": 32})


def compare(m: Module, a: Value, b: Value, order: Value, relation: Value) -> data.View:
    """`COMPARISON` of two 32-bit operands, combinational."""
    is_float = order == Order.FLOAT
    left, right = Signal(32), Signal(32)
    m.d.comb += [left.eq(_flushed(a, is_float)), right.eq(_flushed(b, is_float))]
    less, equal, unordered, zeros = Signal(), Signal(), Signal(), Signal()
    m.d.comb += [
        less.eq(_key(left, order) < _key(right, order)),
        equal.eq(left == right),
        unordered.eq(is_float & (is_nan(fields(FLOAT32, a)) | is_nan(fields(FLOAT32, b)))),
        # The two zeros are equal to a comparison, though not to minimum and maximum.
        zeros.eq(is_float & ~(left[:31].any() | right[:31].any())),
    ]
    result = Signal(COMPARISON)
    m.d.comb += [
        result.holds.eq(_holds(relation, less & ~zeros, equal | zeros, unordered)),
        result.minimum.eq(Mux(unordered, QUIET_NAN, Mux(less, left, right))),
        result.maximum.eq(Mux(unordered, QUIET_NAN, Mux(less, right, left))),
    ]
    return result


def _flushed(bits: Value, is_float: Value) -> Value:
    """Subnormal floats become zero."""
    kept = bits[23:31].any() | ~is_float
    return Cat(Mux(kept, bits[:31], 0), bits[31])


def _key(bits: Value, order: Value) -> Value:
    """An unsigned number of the same order."""
    negative_float = (order == Order.FLOAT) & bits[31]
    magnitude = Mux(negative_float, ~bits[:31], bits[:31])
    return Cat(magnitude[:31], bits[31] ^ (order != Order.UNSIGNED))


def _holds(relation: Value, less: Value, equal: Value, unordered: Value) -> Value:
    held = Mux(
        (relation == Relation.EQUAL) | (relation == Relation.DIFFERENT),
        equal, less | (equal & (relation == Relation.LESS_OR_EQUAL)),
    )
    return (held & ~unordered) ^ (relation == Relation.DIFFERENT)
