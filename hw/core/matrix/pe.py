"""One processing element of the systolic array."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.float.adder import ADD_STAGES, ALIGNED_SUM, add_align, add_round
from hw.core.float.product import FACTOR, multiply_narrow

ROW_DELAY = ADD_STAGES
"""D: cycles from a PE's partial sum to the one below."""
SUM_OFFSET = 2
"""Cycles by which the partial sum of a row enters a PE later than the activation."""
PE_LATENCY = SUM_OFFSET + ADD_STAGES
"""Cycles from an activation at the PE's input to the partial sum at its output."""

WEIGHT = data.StructLayout({"factor": FACTOR, "raw": 1})
"""`raw`: the partial sum is an int32; with a significand of 0 it passes, whatever it is."""

ACTIVATION = data.StructLayout({"factor": FACTOR, "swap": 1})
"""`swap`: the shadow weight becomes the active one, for this activation already."""


def weight_load(columns: int) -> data.StructLayout:
    """A weight on its way along a row, to be kept by the PE `tag` columns further on."""
    return data.StructLayout({"weight": WEIGHT, "tag": range(columns), "load": 1})


class ProcessingElement(wiring.Component):
    """Adds activation * weight to the partial sum that comes from above.

    What goes along the row leaves one cycle later, the tag one less. `sum_out` belongs to the
    activation of `PE_LATENCY` cycles before and to `sum_in` of `ROW_DELAY` cycles before.

    Args:
        config: `int8` decides whether integers are understood.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._int8 = config.int8
        load = weight_load(config.array_cols)
        super().__init__({
            "activation_in": In(ACTIVATION), "activation_out": Out(ACTIVATION),
            "weight_in": In(load), "weight_out": Out(load),
            "sum_in": In(32), "sum_out": Out(32),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        nothing = {"factor": {"significand": 0}, "raw": 1}
        shadow, active = Signal(WEIGHT, init=nothing), Signal(WEIGHT, init=nothing)
        activation = Signal(ACTIVATION, reset_less=True)
        m.d.sync += [
            activation.eq(self.activation_in),
            self.weight_out.eq(self.weight_in),
            self.weight_out.tag.eq(self.weight_in.tag - 1),
        ]
        with m.If(self.weight_in.load & (self.weight_in.tag == 0)):
            m.d.sync += shadow.eq(self.weight_in.weight)
        with m.If(self.activation_in.swap):
            m.d.sync += active.eq(shadow)
        m.d.comb += [
            self.activation_out.eq(activation),
            self.sum_out.eq(self._multiply_add(m, activation.factor, active)),
        ]
        return m

    def _multiply_add(self, m: Module, activation: data.View, active: data.View) -> Value:
        """Product, alignment and rounding: a stage each."""
        product, result = Signal(32, reset_less=True), Signal(32, reset_less=True)
        # The flag follows its operands, as the next tile may be of the other type.
        raw = Signal(reset_less=True)
        middle = Signal(ALIGNED_SUM, reset_less=True)
        integer = active.raw if self._int8 else 0
        passed = (self.sum_in + product)[:32] if self._int8 else self.sum_in
        m.d.sync += [
            product.eq(multiply_narrow(m, activation, active.factor, integer)),
            raw.eq(active.raw),
            middle.eq(add_align(m, self.sum_in, product)),
            result.eq(add_round(m, middle)),
        ]
        with m.If(raw):
            m.d.sync += [middle.value.eq(passed), middle.done.eq(1)]
        return result
