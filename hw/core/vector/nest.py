"""The loop nest of one stream: an address and a number of valid lanes for each group."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.isa.params import LEVELS


class AddressNest(wiring.Component):
    """Walks base + sum of index * stride over up to four levels, one group a cycle.

    Members:
        load: take a snapshot of `parameters` and go to the first group.
        step: go to the next group.
        address: of the group.
        lanes: how many of its lanes are valid, from the lowest.
        exhausted: there is no group; the other outputs mean nothing.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        super().__init__({
            "parameters": In(STREAM_PARAMETERS),
            "load": In(1),
            "step": In(1),
            "address": Out(32),
            "lanes": Out(range(lanes + 1)),
            "exhausted": Out(1, init=1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        strides = self._snapshot(m, "stride")
        lasts = [Signal(32, name=f"last{level}") for level in range(LEVELS)]
        positions = [Signal(32, name=f"position{level}") for level in range(LEVELS)]
        remaining = [Signal(32, name=f"remaining{level}") for level in range(LEVELS)]
        bounds = self._parameters("bound")
        moves, following = self._advance(m, positions, strides, remaining)
        with m.If(self.load):
            m.d.sync += self.exhausted.eq(Cat(bound == 0 for bound in bounds).any())
            for level, bound in enumerate(bounds):
                m.d.sync += [
                    lasts[level].eq(bound - 1), remaining[level].eq(bound - 1),
                    positions[level].eq(self.parameters.base),
                ]
        with m.Elif(self.step):
            m.d.sync += self.exhausted.eq(~Cat(moves).any())
            for level in range(LEVELS):
                above = Cat(moves[level:]).any()
                with m.If(above):
                    m.d.sync += positions[level].eq(following)
                with m.If(moves[level]):
                    m.d.sync += remaining[level].eq(remaining[level] - 1)
                with m.Elif(above):
                    m.d.sync += remaining[level].eq(lasts[level])
        m.d.comb += self.address.eq(positions[0])
        self._count_lanes(m, moves)
        return m

    def _parameters(self, kind: str) -> list[Value]:
        return [self.parameters[f"{kind}{level}"] for level in range(1, LEVELS + 1)]

    def _snapshot(self, m: Module, kind: str) -> list[Signal]:
        copies = [Signal(32, name=f"{kind}{level}") for level in range(LEVELS)]
        with m.If(self.load):
            m.d.sync += [copy.eq(value) for copy, value
                         in zip(copies, self._parameters(kind), strict=True)]
        return copies

    @staticmethod
    def _advance(m: Module, positions: list[Signal], strides: list[Signal],
                 remaining: list[Signal]) -> tuple[list[Signal], Signal]:
        """Which level moves on (none at the end), and the address this leads to."""
        moves = [Signal(name=f"move{level}") for level in range(LEVELS)]
        following = Signal(32)
        chosen, position = strides[LEVELS - 1], positions[LEVELS - 1]
        for level in reversed(range(LEVELS - 1)):
            here = remaining[level].any()
            chosen = Mux(here, strides[level], chosen)
            position = Mux(here, positions[level], position)
        m.d.comb += following.eq(position + chosen)
        for level, move in enumerate(moves):
            inner = Cat(remaining[:level]).any() if level else 0
            m.d.comb += move.eq(remaining[level].any() & ~inner)
        return moves, following

    def _count_lanes(self, m: Module, moves: list[Signal]) -> None:
        """Of n0 elements along the level `lane_level`, those from this group on."""
        count, level = Signal(32), Signal(range(LEVELS + 1))
        left = Signal(32)
        moved = Cat(Const(0, 1), moves)
        positive = left.any() & ~left[31]
        with m.If(self.load):
            m.d.sync += [
                count.eq(self.parameters.n0), left.eq(self.parameters.n0),
                level.eq(self.parameters.lane_level),
            ]
        with m.Elif(self.step & (level != 0)):
            with m.If(moved.bit_select(level, 1)):
                # What is left stays at or below zero; it must not wrap around.
                m.d.sync += left.eq(Mux(positive, left - self._lanes, left))
            with m.Elif((moved >> level).any()):
                m.d.sync += left.eq(count)
        full = positive & (left >= self._lanes)
        m.d.comb += self.lanes.eq(Mux(full, self._lanes, Mux(positive, left, 0)))
