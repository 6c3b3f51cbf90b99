"""The systolic array: R x C processing elements."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.matrix.pe import (
    ACTIVATION,
    PE_LATENCY,
    ROW_DELAY,
    ProcessingElement,
    weight_load,
)
from hw.core.matrix.skew import Skew


class SystolicArray(wiring.Component):
    """R x C PEs; activations and weights go right, partial sums go down.

    Members, all of them skewed (PE (r, c) works D*r + c cycles after PE (0, 0)):
        activations: `ACTIVATION` of each row.
        weights: `weight_load` of each row.
        sums_in: old accumulator of each column, `SUM_OFFSET` cycles after the activations.
        sums_out: of each column.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        rows, columns = config.array_rows, config.array_cols
        super().__init__({
            "activations": In(data.ArrayLayout(ACTIVATION, rows)),
            "weights": In(data.ArrayLayout(weight_load(columns), rows)),
            "sums_in": In(data.ArrayLayout(32, columns)),
            "sums_out": Out(data.ArrayLayout(32, columns)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        above = [self.sums_in[c] for c in range(self._config.array_cols)]
        for r in range(self._config.array_rows):
            activation, weight = self.activations[r], self.weights[r]
            for c in range(self._config.array_cols):
                m.submodules[f"pe_{r}_{c}"] = pe = ProcessingElement(self._config)
                m.d.comb += [
                    pe.activation_in.eq(activation), pe.weight_in.eq(weight),
                    pe.sum_in.eq(above[c]),
                ]
                activation, weight, above[c] = pe.activation_out, pe.weight_out, pe.sum_out
        m.d.comb += [self.sums_out[c].eq(above[c]) for c in range(self._config.array_cols)]
        return m


def array_latency(config: AcceleratorConfig) -> int:
    """Cycles from a row's activations to its results at an `UnskewedArray`."""
    return ROW_DELAY * (config.array_rows - 1) + PE_LATENCY + config.array_cols - 1


class UnskewedArray(wiring.Component):
    """The array behind registers that hide the wavefront: a row goes in and comes out as a whole.

    Members:
        activations, weights: `ACTIVATION` and `weight_load` of each row, in the same cycle.
        sums_in: old accumulators of a row, `SUM_OFFSET` cycles after its activations.
        sums_out: its new accumulators, `array_latency` cycles after its activations.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        rows, columns = config.array_rows, config.array_cols
        super().__init__({
            "activations": In(data.ArrayLayout(ACTIVATION, rows)),
            "weights": In(data.ArrayLayout(weight_load(columns), rows)),
            "sums_in": In(data.ArrayLayout(32, columns)),
            "sums_out": Out(data.ArrayLayout(32, columns)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, columns = self._config.array_rows, self._config.array_cols
        down = [ROW_DELAY * r for r in range(rows)]
        right = list(range(columns))
        m.submodules.array = array = SystolicArray(self._config)
        skews = {
            "activations": (self.activations, array.activations, ACTIVATION.size, down),
            "weights": (self.weights, array.weights, weight_load(columns).size, down),
            "sums_in": (self.sums_in, array.sums_in, 32, right),
            "sums_out": (array.sums_out, self.sums_out, 32, right[::-1]),
        }
        for name, (source, sink, width, delays) in skews.items():
            m.submodules[name] = skew = Skew(width, delays)
            m.d.comb += [skew.input.eq(source), sink.eq(skew.output)]
        return m
