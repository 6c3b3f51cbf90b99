"""The small parts of the matrix unit: transposer, address nest, busy table, retire order."""

import itertools
import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from hw.core.matrix.nest import multiply_job, nest_row, row_flags
from hw.core.matrix.retire import COMMANDS_IN_FLIGHT
from hw.core.matrix.transposer import ELEMENT_BITS, tile_column, tile_layout, tile_row
from verif.build import pack, unpack
from verif.matrix.bench import Agents, Sink, Source, machine, pack_lanes, reset, unpack_lanes


@cocotb.test()
async def transposes(dut: Any) -> None:
    config = machine()
    rows, columns = config.array_rows, config.array_cols
    longest = max(rows, columns)
    layout, tile_fields = tile_row(config), tile_layout(config)
    tiles, sent = [], []
    for number in range(40):
        k, n = random.randint(1, rows), random.randint(1, columns)
        by_column = random.randint(0, 1)
        weights = np.random.randint(0, 1 << 16, (k, n))
        tiles.append((weights, pack(tile_fields, {"k": k, "n": n, "ticket": number})))
        lines = weights.T if by_column else weights
        for index, line in enumerate(lines):
            elements = [*line.tolist(), *[0xDEAD] * (longest - len(line))]
            sent.append(pack(layout, {
                "elements": pack_lanes(elements, ELEMENT_BITS), "by_column": by_column,
                "last": int(index == len(lines) - 1), "tile": tiles[-1][1],
            }))
    source, sink = Source(dut, "rows", sent, 0.8), Sink(dut, "columns", 0.8)
    await reset(dut, rows__valid=0, columns__ready=0)
    agents = Agents(dut, [source, sink])
    await agents.until(lambda: len(sink.payloads) == len(tiles) * columns, 4000)
    for number, payload in enumerate(sink.payloads):
        (weights, tile), index = tiles[number // columns], number % columns
        column = unpack(tile_column(config), payload)
        assert (column["index"], column["tile"]) == (index, tile)
        if index < weights.shape[1]:
            got = unpack_lanes(column["elements"], ELEMENT_BITS, rows)[: len(weights)]
            assert got == weights[:, index].tolist()


@cocotb.test()
async def walks(dut: Any) -> None:
    config = machine()
    flags_layout, want, sent = row_flags(config), [], []
    for _ in range(40):
        bounds = [random.choice([0, 1, 1, 2, 3, 5]) for _ in range(4)]
        activation_strides, row_strides = (
            [random.getrandbits(32) for _ in range(4)] for _ in range(2))
        activation, row = random.getrandbits(32), random.getrandbits(32)
        flags = random.getrandbits(flags_layout.size)
        sent.append(pack(multiply_job(config), {
            "activation": activation, "row": row, "bounds": pack_lanes(bounds, 32),
            "activation_strides": pack_lanes(activation_strides, 32),
            "row_strides": pack_lanes(row_strides, 32), "flags": flags,
        }))
        steps = [index[::-1] for index in itertools.product(*map(range, bounds[::-1]))]
        for number, index in enumerate(steps or [(0, 0, 0, 0)]):
            want.append({
                "activation": (activation + np.dot(index, activation_strides)) & 0xFFFFFFFF,
                "row": (row + np.dot(index, row_strides)) & 0xFFFFFFFF,
                "exists": int(bool(steps)), "last": int(number >= len(steps) - 1),
                "flags": flags if number == 0 else flags & ~pack(flags_layout, {"swap": 1}),
            })
    source, sink = Source(dut, "jobs", sent, 0.9), Sink(dut, "rows", 0.9)
    await reset(dut, jobs__valid=0, rows__ready=0)
    await Agents(dut, [source, sink]).until(lambda: len(sink.payloads) == len(want), 20000)
    for payload, row_wanted in zip(sink.payloads, want, strict=True):
        got = unpack(nest_row(config), payload)
        if not got["exists"]:
            got |= {name: row_wanted[name] for name in ("activation", "row")}
        assert got == row_wanted


@cocotb.test()
async def knows_rows_under_way(dut: Any) -> None:
    rows, latency = 16, 5
    under_way: deque[tuple[int, int] | None] = deque([None] * latency)
    await reset(dut, row=0, launch=0, complete=0, complete_row=0, complete_phase=0)
    launches = 0
    for _ in range(2000):
        completed = under_way.popleft()
        dut.complete.value = completed is not None
        if completed is not None:
            dut.complete_row.value, dut.complete_phase.value = completed
        row = random.randrange(rows)
        busy = row in [entry[0] for entry in (completed, *under_way) if entry is not None]
        dut.row.value = row
        launch = random.random() < 0.7 and not busy
        dut.launch.value = launch
        await ReadOnly()
        assert int(dut.busy.value) == busy
        under_way.append((row, int(dut.phase.value)) if launch else None)
        launches += launch
        await RisingEdge(dut.clk)
    assert launches > 500


@cocotb.test()
async def retires_in_order(dut: Any) -> None:
    issued: deque[str] = deque()
    unfinished = dict.fromkeys(("load", "multiply"), 0)
    finished = dict.fromkeys(unfinished, 0)
    full = retired = 0
    await reset(dut, load_issued=0, multiply_issued=0, load_done=0, multiply_done=0)
    for cycle in range(3000):
        room = len(issued) < COMMANDS_IN_FLIGHT
        kind = random.choice(["load", "multiply", ""]) if room else ""
        # Long stretches without any end fill the queue.
        done = [name for name, count in unfinished.items()
                if count and random.random() < 0.8 * (cycle % 400 > 150)]
        for name in unfinished:
            getattr(dut, f"{name}_issued").value = name == kind
            getattr(dut, f"{name}_done").value = name in done
        await ReadOnly()
        retires = bool(issued and finished[issued[0]])
        state = int(dut.room.value), int(dut.idle.value), int(dut.retire.value)
        assert state == (room, not issued, retires)
        if retires:
            finished[issued.popleft()] -= 1
        if kind:
            issued.append(kind)
            unfinished[kind] += 1
        for name in done:
            unfinished[name] -= 1
            finished[name] += 1
        full, retired = full + (not room), retired + retires
        await RisingEdge(dut.clk)
    assert full > 100
    assert retired > 500
