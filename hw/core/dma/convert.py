"""Element conversion on a beat."""

from amaranth.hdl import Cat, Module, Signal, Value

from hw.core.dma.layouts import Conversion
from hw.core.float.convert import bf16_to_f32, f32_to_bf16


def converted(m: Module, conversion: Value, source: Value, *, width_bytes: int) -> Signal:
    """The elements of `source` from its first byte on, as many as fit `width_bytes` bytes."""
    target = Signal(8 * width_bytes, name="converted")
    narrowed = min(len(source) // 32, width_bytes // 2)
    widened = min(len(source) // 16, width_bytes // 4)
    m.d.comb += target.eq(source)
    with m.If(conversion == Conversion.NARROW):
        m.d.comb += target.eq(Cat(f32_to_bf16(source.word_select(i, 32))
                                  for i in range(narrowed)))
    with m.If(conversion == Conversion.WIDEN):
        m.d.comb += target.eq(Cat(bf16_to_f32(source.word_select(i, 16))
                                  for i in range(widened)))
    return target


def converted_bytes(m: Module, conversion: Value, count: Value) -> Signal:
    """What `count` bytes of elements take after conversion."""
    return _scaled(m, count, halve=conversion == Conversion.NARROW,
                   double=conversion == Conversion.WIDEN)


def source_bytes(m: Module, conversion: Value, count: Value) -> Signal:
    """What `count` bytes of elements took before conversion."""
    return _scaled(m, count, halve=conversion == Conversion.WIDEN,
                   double=conversion == Conversion.NARROW)


def _scaled(m: Module, count: Value, *, halve: Value, double: Value) -> Signal:
    result = Signal(len(count) + 1, name="scaled")
    m.d.comb += result.eq(count)
    with m.If(halve):
        m.d.comb += result.eq(count >> 1)
    with m.Elif(double):
        m.d.comb += result.eq(count << 1)
    return result
