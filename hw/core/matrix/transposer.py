"""Turns the rows of a weight tile into its columns."""

from itertools import pairwise

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig

ELEMENT_BITS = 16


TICKET_BITS = 6
"""Tiles and swaps are numbered modulo 2^6; fewer than half of that are ever under way."""


def tile_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Size and type of a tile. Of a `diagonal` one only elements with k = n exist; `ticket` is the
    number of swaps that must come before it."""
    return data.StructLayout({
        "k": range(config.array_rows + 1), "n": range(config.array_cols + 1), "integer": 1,
        "diagonal": 1,
        "ticket": TICKET_BITS,
    })


def tile_row(config: AcceleratorConfig) -> data.StructLayout:
    """A row of a tile in order, or its column when `by_column`; `last` ends the tile."""
    longest = max(config.array_rows, config.array_cols)
    return data.StructLayout({
        "elements": data.ArrayLayout(ELEMENT_BITS, longest),
        "by_column": 1, "last": 1, "tile": tile_layout(config),
    })


def tile_column(config: AcceleratorConfig) -> data.StructLayout:
    """Column `index` of a tile; elements outside the tile are arbitrary."""
    return data.StructLayout({
        "elements": data.ArrayLayout(ELEMENT_BITS, config.array_rows),
        "index": range(config.array_cols), "tile": tile_layout(config),
    })


class TransposerBank(wiring.Component):
    """One tile, kept as C columns of R elements.

    Members:
        write: `elements` become row `index`, or column `index` when `by_column`.
        tile, tile_out: description of the tile, kept at the last write.
        shift: column 1 becomes column 0 and so on. column: column 0.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._rows, self._columns = config.array_rows, config.array_cols
        longest, tile = max(self._rows, self._columns), tile_layout(config)
        super().__init__({
            "write": In(1), "by_column": In(1), "index": In(range(longest)),
            "elements": In(data.ArrayLayout(ELEMENT_BITS, longest)),
            "tile": In(tile), "tile_out": Out(tile),
            "shift": In(1),
            "column": Out(data.ArrayLayout(ELEMENT_BITS, self._rows)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = data.ArrayLayout(ELEMENT_BITS, self._rows)
        columns = [Signal(layout, name=f"column{n}", reset_less=True)
                   for n in range(self._columns)]
        m.d.comb += self.column.eq(columns[0])
        with m.If(self.write):
            m.d.sync += self.tile_out.eq(self.tile)
        with m.If(self.shift):
            m.d.sync += [left.eq(right) for left, right in pairwise(columns)]
        with m.If(self.write & self.by_column):
            elements = [self.elements[k] for k in range(self._rows)]
            m.d.sync += [
                Array(columns)[self.index][k].eq(element) for k, element in enumerate(elements)
            ]
        with m.Elif(self.write):
            m.d.sync += [
                column[self.index].eq(self.elements[n]) for n, column in enumerate(columns)
            ]
        return m


class Transposer(wiring.Component):
    """Two banks: while the columns of one tile leave, the rows of the next one arrive.

    Members:
        rows: `tile_row`. columns: `tile_column`, always C of them per tile, in order.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "rows": In(stream.Signature(tile_row(config))),
            "columns": Out(stream.Signature(tile_column(config))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._banks = [TransposerBank(self._config) for _ in range(2)]
        m.submodules += self._banks
        full = Signal(2)
        self._write(m, full)
        self._read(m, full)
        return m

    def _write(self, m: Module, full: Signal) -> None:
        rows = self.rows.payload
        index, chosen = Signal.like(self._banks[0].index), Signal()
        taken = self.rows.valid & self.rows.ready
        m.d.comb += self.rows.ready.eq(~full.bit_select(chosen, 1))
        for number, bank in enumerate(self._banks):
            m.d.comb += [
                bank.elements.eq(rows.elements),
                bank.by_column.eq(rows.by_column),
                bank.index.eq(index),
                bank.write.eq(taken & (chosen == number)),
            ]
        with m.If(taken):
            m.d.sync += index.eq(index + 1)
            with m.If(rows.last):
                m.d.sync += [index.eq(0), chosen.eq(~chosen), full.bit_select(chosen, 1).eq(1)]

    def _read(self, m: Module, full: Signal) -> None:
        columns = self.columns.payload
        index, chosen = Signal(range(self._config.array_cols)), Signal()
        taken = self.columns.valid & self.columns.ready
        m.d.comb += [
            self.columns.valid.eq(full.bit_select(chosen, 1)),
            columns.elements.eq(Mux(chosen, *(bank.column for bank in reversed(self._banks)))),
            columns.index.eq(index),
            columns.tile.eq(Mux(chosen, *(bank.tile_out for bank in reversed(self._banks)))),
        ]
        for number, bank in enumerate(self._banks):
            m.d.comb += [
                bank.tile.eq(self.rows.payload.tile),
                bank.shift.eq(taken & (chosen == number)),
            ]
        with m.If(taken):
            m.d.sync += index.eq(index + 1)
            with m.If(index == self._config.array_cols - 1):
                m.d.sync += [index.eq(0), chosen.eq(~chosen), full.bit_select(chosen, 1).eq(0)]
