"""Clamps of output streams: fmin(fmax(x, low), high), as the lanes would compute it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.core.float.format import FLOAT32, QUIET_NAN, fields, is_nan
from hw.isa.dtypes import DType

BOUNDS = data.StructLayout({"active": 1, "nan": 1, "low": 32, "high": 32})
"""low <= high, both flushed; nan: a bound is NaN, and so is every result."""

_LAST_FLOAT = DType.F16
"""Type codes up to here have f32 lanes."""


def clamp_bounds(m: Module, parameters: data.View) -> data.View:
    """The `BOUNDS` of a stream, combinational."""
    # An output stream has its lower bound where an input stream has its fill.
    low, high = _flushed(parameters.fill), _flushed(parameters.high)
    result = Signal(BOUNDS)
    m.d.comb += [
        result.active.eq(parameters.saturate.any() & (parameters.type <= _LAST_FLOAT)),
        result.nan.eq(_is_nan(low) | _is_nan(high)),
        # The minimum is taken last, so bounds the wrong way round count as the higher one alone.
        result.low.eq(Mux(_key(high) < _key(low), high, low)),
        result.high.eq(high),
    ]
    return result


def clamped(m: Module, lane: Value, bounds: data.View) -> Value:
    """A lane within bounds, combinational."""
    value, below, above = Signal(32), Signal(), Signal()
    m.d.comb += [
        value.eq(_flushed(lane)),
        below.eq(_key(value) < _key(bounds.low)), above.eq(_key(value) > _key(bounds.high)),
    ]
    inside = Mux(below, bounds.low, Mux(above, bounds.high, value))
    return Mux(bounds.nan | _is_nan(value), QUIET_NAN, inside)


def _is_nan(bits: Value) -> Value:
    return is_nan(fields(FLOAT32, bits))


def _flushed(bits: Value) -> Value:
    """Subnormal numbers become zero."""
    return Cat(Mux(bits[23:31].any(), bits[:31], 0), bits[31])


def _key(bits: Value) -> Value:
    """An unsigned number of the same order, -0 below +0."""
    return Cat(bits[:31] ^ bits[31].replicate(31), ~bits[31])
