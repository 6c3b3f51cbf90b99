"""Elements of memory to and from 32-bit lanes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hw.core.float.convert import bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16
from hw.isa.dtypes import DType

_INTEGER_BITS = {DType.S16: 16, DType.U16: 16, DType.S8: 8, DType.U8: 8}
_SIGNED = (DType.S16, DType.S8)


def to_lane(m: Module, raw: Value, dtype: Value) -> Signal:
    """The lane of an element that stands in the low bits of `raw`, combinational."""
    lane = Signal(32)
    with m.Switch(dtype):
        with m.Case(DType.BF16):
            m.d.comb += lane.eq(bf16_to_f32(raw[:16]))
        with m.Case(DType.F16):
            m.d.comb += lane.eq(f16_to_f32(m, raw[:16]))
        for integer, bits in _INTEGER_BITS.items():
            with m.Case(integer):
                low = raw[:bits]
                m.d.comb += lane.eq(low.as_signed() if integer in _SIGNED else low)
        with m.Default():
            m.d.comb += lane.eq(raw)
    return lane


def from_lane(m: Module, lane: Value, dtype: Value, saturate: Value) -> Signal:
    """The element of a lane, in the low bits of 32, combinational."""
    raw = Signal(32)
    with m.Switch(dtype):
        with m.Case(DType.BF16):
            m.d.comb += raw.eq(f32_to_bf16(lane))
        with m.Case(DType.F16):
            m.d.comb += raw.eq(f32_to_f16(m, lane))
        for integer, bits in _INTEGER_BITS.items():
            with m.Case(integer):
                clipped = _clip(lane, bits, integer in _SIGNED)
                m.d.comb += raw.eq(Mux(saturate, clipped, lane[:bits]))
        with m.Default():
            m.d.comb += raw.eq(lane)
    return raw


def _clip(lane: Value, bits: int, is_signed: bool) -> Value:
    """A signed lane in the range of `bits` bits."""
    if is_signed:
        fits = lane[bits - 1:].all() | ~lane[bits - 1:].any()
        return Mux(fits, lane[:bits], Cat((~lane[31]).replicate(bits - 1), lane[31]))
    fits = ~lane[bits:].any()
    return Mux(fits, lane[:bits], (~lane[31]).replicate(bits))
