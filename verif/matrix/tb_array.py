"""The array with its skew registers: tiles and rows on a random schedule."""

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.core.matrix.array import array_latency
from hw.core.matrix.pe import ACTIVATION, SUM_OFFSET, WEIGHT, weight_load
from hw.isa.matrix import accumulate
from hw.isa.state import Tile
from verif.build import pack
from verif.matrix.bench import factor, machine, random_operands, reset

TILES = 12


@dataclass
class Row:
    """A row to be launched, and the tile it meets."""

    x: NDArray[np.uint16]
    old: NDArray[np.uint32]
    tile: Tile
    swap: bool


Schedule = tuple[dict[int, int], dict[int, Row], int]


def schedule(rows: int, columns: int, int8: bool) -> Schedule:
    """Cycles of weight columns and of activation rows, and the last cycle.

    The next tile follows the swap of the one before at once or later, and a swap follows its tile
    at once or later: both extremes must work.
    """
    layout = weight_load(columns)
    loads: dict[int, int] = {}
    launches: dict[int, Row] = {}
    load_from = cycle = 0
    for _ in range(TILES):
        integer = int8 and random.random() < 0.4
        k, n = random.choice([rows, random.randint(1, rows)]), random.randint(1, columns)
        weights = random_operands((k, n))
        for column in range(columns):
            vector = 0
            for r in range(rows):
                inside = r < k and column < n
                bits = int(weights[r, column]) if inside else 0
                vector |= pack(layout, {
                    "weight": pack(WEIGHT, {"factor": factor(bits, int(integer)),
                                            "raw": int(integer or not inside)}),
                    "tag": column, "load": 1}) << r * layout.size
            loads[load_from + column] = vector
        cycle = max(cycle, load_from + columns) + random.choice([0, 0, 3])
        load_from = cycle + random.choice([0, 0, 5])
        for number in range(random.randint(1, 2 * columns)):
            raw = weights.astype(np.uint8) if integer else weights
            launches[cycle] = Row(
                random_operands(rows), np.random.randint(0, 1 << 32, columns, np.uint32),
                Tile(raw, integer), number == 0)
            cycle += random.choice([1, 1, 1, 2])
    return loads, launches, cycle


def expected(row: Row) -> NDArray[np.uint32]:
    k, n = row.tile.weights.shape
    x = row.x[:k].astype(np.uint8) if row.tile.integer else row.x[:k]
    want = row.old.copy()
    want[:n] = accumulate(row.old[None, :n], x[None], row.tile)[0]
    return want


@cocotb.test()
async def tiles_and_rows(dut: Any) -> None:
    config = machine()
    np.random.seed(random.getrandbits(32))
    await reset(dut, activations=0, weights=0, sums_in=0)
    loads, launches, last = schedule(config.array_rows, config.array_cols, config.int8)
    latency = array_latency(config)
    for cycle in range(last + latency):
        dut.weights.value = loads.get(cycle, 0)
        row, old = launches.get(cycle), launches.get(cycle - SUM_OFFSET)
        dut.activations.value = 0 if row is None else sum(
            pack(ACTIVATION, {"factor": factor(int(x), int(row.tile.integer)),
                              "swap": int(row.swap)}) << r * ACTIVATION.size
            for r, x in enumerate(row.x))
        dut.sums_in.value = 0 if old is None else int.from_bytes(old.old.tobytes(), "little")
        await ReadOnly()
        done = launches.get(cycle - latency)
        if done is not None:
            raw = int(dut.sums_out.value).to_bytes(4 * config.array_cols, "little")
            np.testing.assert_array_equal(np.frombuffer(raw, np.uint32), expected(done))
        await RisingEdge(dut.clk)


@cocotb.test()
async def skew(dut: Any) -> None:
    """Of a lone `Skew`, whose delays are 0, 1, 4, 1."""
    delays = (0, 1, 4, 1)
    await reset(dut, input=0)
    sent = [0] * max(delays)
    for _ in range(50):
        sent.append(random.getrandbits(4 * len(delays)))
        dut.input.value = sent[-1]
        await ReadOnly()
        want = sum(sent[-1 - delay] & 0xF << 4 * lane for lane, delay in enumerate(delays))
        assert int(dut.output.value) == want
        await RisingEdge(dut.clk)
