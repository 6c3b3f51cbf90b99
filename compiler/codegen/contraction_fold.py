"""Totals of integer sums that are made in several segments."""

from collections.abc import Sequence
from dataclasses import replace

from compiler.codegen.context import Context
from compiler.codegen.contraction_output import Output, Sums, gather_sums
from compiler.codegen.contraction_work import Piece, Sink, Slab, Visit
from compiler.codegen.elementwise import WORD
from compiler.codegen.graph import Graph
from compiler.codegen.operands import box_stream
from compiler.codegen.partition import partition
from hw.isa.dtypes import DType


class FoldSums(Sink):
    """total = (total << shift) + sum for each segment, in the scratchpad.

    The totals lie as the sums lie in the accumulators; the last ones go to the output.

    Args:
        sums: element type in the accumulators; f32 sums are integral.
        rows, tiles: the most a block has.
    """

    def __init__(self, context: Context, output: Output, sums: DType, rows: int, tiles: int
                 ) -> None:
        self.context, self.output, self.sums = context, output, sums
        self.rows = rows
        self.bytes = rows * tiles * context.config.accumulator_row_bytes
        self.totals = -1

    def open(self, at: Visit) -> None:
        self.output.open(at)

    def close(self) -> None:
        self.output.close()
        self.context.scratchpad.free(self.totals)
        self.totals = -1

    def end(self) -> None:
        self.output.end()

    def finish(self, at: Visit, tiles: Sequence[tuple[int, int, int]], piece: Piece) -> None:
        if self.totals < 0:
            self.totals = self.context.scratchpad.allocate(self.bytes, self.output.location)
        for tile in tiles:
            (sums,) = gather_sums(self.context, [tile], self.sums)
            number = sums.columns[0] // self.context.config.array_cols
            address = self.totals + (number * self.rows + piece.first) * sums.row_pitch
            totals = replace(sums, address=address, dtype=DType.S32)
            self._fold(at.slab, sums, totals, piece.rows)
            if at.slab.last:
                self.output.take(at.block, totals, piece)

    def _fold(self, slab: Slab, sums: Sums, totals: Sums, rows: int) -> None:
        graph = Graph()
        value = graph.input(0)
        if self.sums is DType.F32:
            value = graph.f2i(value)
        if slab.segment:
            value = graph.iadd(graph.shl(graph.input(1), graph.const(slab.shift)), value)
        (kernel,) = partition(graph, [value])
        lanes, width = self.context.config.lanes, sums.columns[1]
        streams = [box_stream(place.address, (place.row_pitch, WORD), (rows, width), place.dtype,
                              lanes) for place in (sums, totals)]
        self.context.kernel(
            rows * -(-width // lanes), kernel.body,
            {i: streams[number] for i, number in enumerate(kernel.inputs)}, {0: streams[1]},
            self.output.location)
