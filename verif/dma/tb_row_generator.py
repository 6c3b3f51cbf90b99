"""The row generator against the rows that golden computes."""

import copy
import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import load
from hw.core.dma.layouts import PARAMETERS, WINDOW
from hw.core.dma.row_generator import RowGenerator
from hw.core.interfaces import read_port
from hw.isa.dma import DmaForm, Load, Store
from hw.isa.host import ACCUMULATOR_BASE
from hw.isa.params import DmaParam
from hw.isa.state import MachineState
from verif.build import pack
from verif.dma.axi import Channel
from verif.dma.descriptors import Transfer, good_transfers, machine

CONFIG = load(os.environ["CONFIG"])
STORE = os.environ["DIRECTION"] == "store"
FORM: type[DmaForm] = Store if STORE else Load


def payload(transfer: Transfer, state: MachineState) -> dict[str, int]:
    """The decoded command; the conversion is of no interest to rows."""
    dram_type, local_type = transfer.instruction.types()
    parameters = state.params[transfer.instruction.target]
    return {
        "dram": transfer.dram, "local": transfer.local, "window": transfer.instruction.window,
        "dram_scale": dram_type.size.bit_length() - 1,
        "local_scale": local_type.size.bit_length() - 1,
        "indexed": transfer.instruction.indexed,
        "parameters": sum(parameters[i] << (32 * i) for i in range(PARAMETERS)),
    }


def expected(transfer: Transfer, state: MachineState, bases: list[int]) -> list[dict[str, int]]:
    """Golden's rows; addresses of rows that copy nothing are left out."""
    t = transfer.instruction.transfer(state, transfer.dram, transfer.local)
    dram_type, local_type = transfer.instruction.types()
    rows = []
    for number, copies in enumerate(t.valid):
        row = {"exists": 1, "copy": int(copies), "last": int(number == len(t.valid) - 1)}
        if copies:
            offset = (int(t.dram[number]) + t.first * dram_type.size) % 2**32
            row |= {"dram": offset, "address": bases[transfer.instruction.window] + offset}
        if copies or not STORE:
            skipped = t.first * local_type.size if STORE else 0
            row["local"] = (int(t.local[number]) + skipped) % 2**32
        rows.append(row)
    return rows or [{"exists": 0, "copy": 0, "last": 1}]


class IndexPort:
    """Answers two cycles after a request."""

    def __init__(self, dut: Any, state: MachineState) -> None:
        self.dut, self.state = dut, state
        self.request = Channel(dut, "index__request",
                               read_port(4).members["request"].signature)
        self.answers: deque[int | None] = deque([None, None])

    def drive(self) -> None:
        self.request.ready.value = random.getrandbits(1)
        answer = self.answers.popleft()
        self.dut.index__response__valid.value = int(answer is not None)
        self.dut.index__response__data.value = answer or 0

    def observe(self) -> None:
        request = self.request.got()
        if request is None:
            self.answers.append(None)
            return
        place = request["address"]
        if place >= ACCUMULATOR_BASE:
            place += CONFIG.scratchpad_bytes - ACCUMULATOR_BASE
        self.answers.append(int(self.state.local.data[place:].view("uint32")[0]))


async def rows_of(dut: Any, rows: Channel, port: IndexPort, *, stall: float
                  ) -> tuple[list[dict[str, int]], int]:
    """The rows of the offered transfer, and the cycles from the first to the last."""
    got: list[dict[str, int]] = []
    first = cycle = 0
    while not (got and got[-1]["last"]):
        port.drive()
        rows.ready.value = int(random.random() >= stall)
        await ReadOnly()
        assert dut.fault__valid.value == 0
        port.observe()
        if row := rows.got():
            first = first or cycle
            got.append(row)
            assert dut.transfer__ready.value == row["last"]
        await RisingEdge(dut.clk)
        cycle += 1
    return got, cycle - first


@cocotb.test()
async def equals_golden(dut: Any) -> None:
    state, bases = machine(CONFIG)
    signature = RowGenerator(CONFIG, store=STORE).signature.members
    offered = Channel(dut, "transfer", signature["transfer"].signature)
    rows = Channel(dut, "rows", signature["rows"].signature)
    dut.windows.value = sum(
        pack(WINDOW, {"base": base, "size": len(window.data), "readable": 1, "writable": 1})
        << (WINDOW.size * i) for i, (base, window) in enumerate(zip(bases, state.windows,
                                                                    strict=True)))
    dut.stop.value = 0
    dut.settled.value = 1
    port = IndexPort(dut, state)
    offered.offer(None)
    port.drive()
    port.answers.append(None)
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    for transfer in good_transfers(FORM, copy.deepcopy(state), 120):
        for index, value in transfer.parameters.items():
            state.params[transfer.instruction.target][index] = value & 0xFFFFFFFF
        offered.offer(payload(transfer, state))
        stall = random.choice((0, 0.5))
        got, cycles = await rows_of(dut, rows, port, stall=stall)
        wanted = expected(transfer, state, bases)
        assert [{k: row[k] for k in want} for row, want in zip(got, wanted, strict=True)] == wanted
        if not stall and not transfer.instruction.indexed:
            assert cycles == len(wanted), "not a row a cycle"
        if any(row["copy"] for row in wanted):
            p = transfer.parameters
            count = min(p[DmaParam.HI0], p[DmaParam.N0]) - p[DmaParam.LO0]
            assert int(dut.shape.value) >> 32 & 0xFFFFFFFF == count
