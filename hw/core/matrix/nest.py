"""The address loops of a `matmul`."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.matrix.transposer import TICKET_BITS
from hw.isa.params import LEVELS


def row_flags(config: AcceleratorConfig) -> data.StructLayout:
    """What the rows of a `matmul` have in common.

    `k`, `integer`: of its weight tile. `swap`: that tile is to be made active first, once so many
    tiles as `ticket` says have been loaded.
    """
    return data.StructLayout({
        "accumulate": 1, "swap": 1, "ticket": TICKET_BITS,
        "k": range(config.array_rows + 1), "integer": 1,
    })


def multiply_job(config: AcceleratorConfig) -> data.StructLayout:
    """A `matmul` and its snapshot of the parameters, level 1 first."""
    levels = data.ArrayLayout(32, LEVELS)
    return data.StructLayout({
        "activation": 32, "row": 32, "bounds": levels, "activation_strides": levels,
        "row_strides": levels, "flags": row_flags(config),
    })


def nest_row(config: AcceleratorConfig) -> data.StructLayout:
    """One activation row: where it is and the accumulator row it adds to.

    An empty nest yields one row without `exists`. `flags.swap` is set in the first one only.
    """
    return data.StructLayout({
        "activation": 32, "row": 32, "exists": 1, "last": 1, "flags": row_flags(config),
    })


class RowNest(wiring.Component):
    """Walks the nests of one `matmul` after the other, a row a cycle, without a pause."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "jobs": In(stream.Signature(multiply_job(config))),
            "rows": Out(stream.Signature(nest_row(config))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job, rows = self.jobs.payload, self.rows.payload
        bounds, left = (Signal(data.ArrayLayout(32, LEVELS), name=name)
                        for name in ("bounds", "left"))
        active, started, flags = Signal(), Signal(), Signal(row_flags(self._config))
        ended = Signal(LEVELS)
        begun = self.jobs.valid & self.jobs.ready
        taken = self.rows.valid & self.rows.ready
        m.d.comb += [
            ended.eq(Cat(count <= 1 for count in left)),
            self.rows.valid.eq(active),
            rows.exists.eq(Cat(bound.any() for bound in bounds).all()),
            rows.last.eq(ended.all() | ~rows.exists),
            rows.flags.eq(flags),
            rows.flags.swap.eq(flags.swap & ~started),
            self.jobs.ready.eq(~active | (taken & rows.last)),
            rows.activation.eq(
                self._walk(m, job.activation, job.activation_strides, begun, taken, ended)),
            rows.row.eq(self._walk(m, job.row, job.row_strides, begun, taken, ended)),
        ]
        with m.If(taken):
            m.d.sync += [started.eq(1), active.eq(~rows.last)]
            for n in range(LEVELS):
                with m.If(ended[:n].all()):
                    m.d.sync += left[n].eq(Mux(ended[n], bounds[n], left[n] - 1))
        with m.If(begun):
            m.d.sync += [
                active.eq(1), started.eq(0), flags.eq(job.flags),
                bounds.eq(job.bounds), left.eq(job.bounds),
            ]
        return m

    def _walk(self, m: Module, base: Value, strides: data.View, begun: Value, taken: Value,
              ended: Value) -> Value:
        """One address: each level keeps where its present iteration began."""
        levels, steps = (Signal(data.ArrayLayout(32, LEVELS), name=name)
                         for name in ("levels", "steps"))
        start, step = levels[LEVELS - 1], steps[LEVELS - 1]
        for n in reversed(range(LEVELS - 1)):
            start, step = Mux(ended[n], start, levels[n]), Mux(ended[n], step, steps[n])
        following = (start + step)[:32]
        with m.If(taken):
            for n in range(LEVELS):
                with m.If(ended[:n].all()):
                    m.d.sync += levels[n].eq(following)
        with m.If(begun):
            m.d.sync += steps.eq(strides)
            m.d.sync += [level.eq(base) for level in levels]
        return levels[0]
