"""Both DMAs against the golden model; DIRECTION says which one the DUT is."""

import copy
import os
import random
from typing import Any

import cocotb
import numpy as np

from hw.config import load
from hw.core.dma.layouts import PARAMETERS
from hw.isa.dma import DmaForm, Load, Store
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE, Activity, Cause, Engine
from hw.isa.params import DmaParam
from hw.isa.state import Fault, Window
from hw.isa.sync import Set
from verif.dma.axi import Traffic
from verif.dma.bench import REST, Bench
from verif.dma.descriptors import (
    WINDOW_BYTES,
    Transfer,
    bad_transfer,
    good_transfers,
    machine,
)

CONFIG = load(os.environ["CONFIG"])
STORE = os.environ["DIRECTION"] == "store"
FORM: type[DmaForm] = Store if STORE else Load
LATENCY = 40
START_UP = 10 if STORE else 7
"""Cycles of a transfer beside the latency of the bus and its beats."""


async def random_bench(dut: Any) -> Bench:
    state, bases = machine(CONFIG)
    stall = random.choice((0, 0.3, 0.7))
    bench = Bench(
        dut, state, bases, store=STORE, command_gap=random.choice((0, 0.8)),
        bus=Traffic(random.choice((1, 5, LATENCY)), stall),
        memory=Traffic(stall=random.choice((0, 0.5))))
    await bench.reset()
    return bench


def assert_same(bench: Bench, expected: Any) -> None:
    np.testing.assert_array_equal(bench.state.local.data, expected.local.data)
    for got, wanted in zip(bench.state.windows, expected.windows, strict=True):
        np.testing.assert_array_equal(got.data, wanted.data)


@cocotb.test()
async def equals_golden(dut: Any) -> None:
    for _ in range(30):
        bench = await random_bench(dut)
        expected = copy.deepcopy(bench.state)
        bench.add(good_transfers(FORM, expected, 12))
        await bench.finish(12, limit=200_000)
        assert_same(bench, expected)


@cocotb.test()
async def stops_at_bad_transfers(dut: Any) -> None:
    """The cause is golden's, and the bus comes to rest without a write outside the windows."""
    for _ in range(60):
        bench = await random_bench(dut)
        good = good_transfers(FORM, copy.deepcopy(bench.state), random.randint(0, 1))
        expected = copy.deepcopy(bench.state)
        for transfer in good:
            transfer.execute(expected)
        bad, cause = bad_transfer(FORM, expected)
        bench.add([*good, bad])
        while bench.fault is None:
            await bench.step()
            assert bench.cycle < 20_000, f"no fault, expected {cause.name}"
        assert bench.fault["cause"] == cause, (Cause(bench.fault["cause"]), cause)
        await bench.stop(limit=2000)
        assert bench.retired <= len(good)


@cocotb.test()
async def borders_are_exact(dut: Any) -> None:
    """Single rows that end at a border or one element later, and every wrong alignment."""
    f32, bf16, s8 = DType.F32, DType.BF16, DType.S8
    window, scratchpad = WINDOW_BYTES, CONFIG.scratchpad_bytes
    accumulators = ACCUMULATOR_BASE + CONFIG.accumulator_bytes
    # (types, dram, local), for rows of 64 bytes in DRAM.
    cases = [
        ((f32, f32), window - 64, 0), ((f32, f32), window - 60, 0), ((s8, s8), window - 63, 0),
        ((f32, f32), 2**32 - 32, 0), ((f32, f32), 2**32 - 64, 0),
        ((f32, f32), 0, scratchpad - 64), ((f32, f32), 0, scratchpad - 60),
        ((f32, bf16), 0, scratchpad - 32), ((f32, bf16), 0, scratchpad - 30),
        ((bf16, f32), 0, scratchpad - 128), ((bf16, f32), 0, scratchpad - 124),
        ((f32, f32), 0, accumulators - 64), ((f32, f32), 0, accumulators - 60),
        ((f32, f32), 0, ACCUMULATOR_BASE - 32), ((f32, f32), 0, 2**32 - 64),
        ((f32, f32), 2, 0), ((f32, f32), 1, 0), ((f32, f32), 0, 2), ((f32, f32), 0, 1),
        ((f32, bf16), 2, 0), ((f32, bf16), 0, 2), ((f32, bf16), 0, 1), ((bf16, f32), 2, 4),
        ((bf16, f32), 1, 0), ((bf16, f32), 0, 2), ((s8, s8), 1, 3),
    ]
    for types, dram, local in cases:
        bench = await random_bench(dut)
        bench.state.windows[2].data.resize(window, refcheck=False)
        bench.dram.regions[2].data = bench.state.windows[2].data
        bench.set_windows()
        transfer = rows(bytes_per_row=64, count=1, stride=0, types=types)
        transfer.dram, transfer.local = dram, local
        await check(bench, transfer)


async def check(bench: Bench, transfer: Transfer) -> None:
    """The transfer does what golden does, or faults with golden's cause and address."""
    expected = copy.deepcopy(bench.state)
    bench.add([transfer])
    fault = None
    try:
        transfer.execute(expected)
    except Fault as raised:
        fault = {"cause": raised.cause, "address": raised.address}
    if fault is None:
        await bench.finish(1, limit=1000)
    else:
        while bench.fault is None:
            await bench.step()
            assert bench.cycle < 1000, f"{transfer} did not fault"
        assert bench.fault == fault, transfer
        assert bench.bus.issued == 0
    assert_same(bench, expected)


@cocotb.test()
async def refuses_unknown_parameters(dut: Any) -> None:
    bench = await random_bench(dut)
    engine = Engine.STORE if STORE else Engine.LOAD
    last, beyond = (Set(engine=engine, rs1=0, index=PARAMETERS - 1 + i, imm=0).encode()
                    for i in range(2))
    bench.queue.extend({"word": word, "a": 0, "b": 0} for word in (last, beyond))
    while bench.fault is None:
        await bench.step()
        assert bench.cycle < 1000
    assert bench.fault == {"cause": Cause.ILLEGAL, "address": beyond & 0xFFFFFFFF}
    assert not bench.queue


@cocotb.test(skip=STORE)
async def gathers_by_a_list_just_loaded(dut: Any) -> None:
    for _ in range(4):
        bench = await random_bench(dut)
        words = bench.state.windows[2].data[:256].view(np.int32)
        words[:] = np.random.default_rng(random.getrandbits(32)).integers(-3, 60, len(words))
        load_list = rows(bytes_per_row=256, count=1, stride=0)
        gather = rows(bytes_per_row=32, count=64, stride=64, index_base=0)
        gather.instruction = FORM(window=2, indexed=1)
        gather.local = 4096
        expected = copy.deepcopy(bench.state)
        for transfer in (load_list, gather):
            transfer.execute(expected)
        bench.add([load_list, gather])
        await bench.finish(2, limit=20_000)
        assert_same(bench, expected)


@cocotb.test()
async def stops_at_any_time(dut: Any) -> None:
    for _ in range(25):
        bench = await random_bench(dut)
        bench.add(good_transfers(FORM, copy.deepcopy(bench.state), 5))
        for _ in range(random.randint(0, 400)):
            await bench.step()
        await bench.stop(limit=4000)
        assert bench.fault is None


@cocotb.test()
async def reports_errors_of_the_bus(dut: Any) -> None:
    bench = await random_bench(dut)
    base = bench.dram.regions[2].base
    bench.dram.bad_beats = {base + 512}
    bench.add([rows(bytes_per_row=256, count=4, stride=256)])
    while bench.fault is None:
        await bench.step()
        assert bench.cycle < 20_000
    assert bench.fault == {"cause": Cause.BUS, "address": 512}
    await bench.stop(limit=2000)


def rows(*, bytes_per_row: int, count: int, stride: int, types: tuple[DType, DType] =
         (DType.F32, DType.F32), **parameters: int) -> Transfer:
    """Rows of a window with space between them, dense in local memory."""
    elements = bytes_per_row // types[0].size
    values = {
        DmaParam.N0: elements, DmaParam.BOUND1: count,
        DmaParam.DSTRIDE1: stride, DmaParam.LSTRIDE1: elements * types[1].size,
        **{DmaParam(DmaParam.BOUND2 + i): 1 for i in range(3)},
        **{DmaParam(DmaParam.HI0 + i): 0xFFFFFFFF for i in range(5)},
    }
    values |= {DmaParam[name.upper()]: value for name, value in parameters.items()}
    return Transfer(FORM(window=2, dram_type=types[0], local_type=types[1]), 0, 0, values)


async def measured(dut: Any, transfers: list[Transfer]) -> Bench:
    """Bus and memory never stall; `finished_at - cycle of the first command` is the cost."""
    state, bases = machine(CONFIG)
    state.windows[2] = Window(
        np.random.default_rng(1).integers(0, 256, 1 << 16, np.uint8), True, True)
    bases[2] = 0x40_0000_0000
    bench = Bench(dut, state, bases, store=STORE, bus=Traffic(LATENCY), memory=Traffic())
    await bench.reset()
    expected = copy.deepcopy(state)
    for transfer in transfers:
        transfer.execute(expected)
    bench.add(transfers)
    await bench.finish(len(transfers), limit=100_000)
    assert_same(bench, expected)
    return bench


def utilisation(bench: Bench, total_bytes: int) -> float:
    """Of the bus, from the first command to the last retirement."""
    return total_bytes / CONFIG.bus_bytes / bench.finished_at


def log(dut: Any, what: str, bench: Bench, total_bytes: int) -> float:
    share = utilisation(bench, total_bytes)
    dut._log.info(f"{what}: {bench.finished_at} cycles, {share:.1%} of the bus")
    return share


@cocotb.test()
async def contiguous_transfers_fill_the_bus(dut: Any) -> None:
    bench = await measured(dut, [rows(bytes_per_row=4096, count=1, stride=0)] * 8)
    assert log(dut, "8 transfers of 4 KiB", bench, 8 * 4096) >= 0.95


@cocotb.test()
async def rows_of_64_bytes_fill_the_bus(dut: Any) -> None:
    bench = await measured(dut, [rows(bytes_per_row=64, count=64, stride=192)] * 5)
    assert log(dut, "5 x 64 rows of 64 bytes", bench, 5 * 64 * 64) >= 0.85


@cocotb.test()
async def conversion_is_free(dut: Any) -> None:
    for types in ((DType.F32, DType.BF16), (DType.BF16, DType.F32)):
        bench = await measured(dut, [rows(bytes_per_row=4096, count=1, stride=0, types=types)] * 8)
        assert log(dut, f"8 transfers of 4 KiB, {types}", bench, 8 * 4096) >= 0.95


@cocotb.test()
async def single_transfer_latency(dut: Any) -> None:
    transfer = rows(bytes_per_row=64, count=1, stride=0)
    bench = await measured(dut, [transfer])
    beats = 64 // CONFIG.bus_bytes
    assert bench.finished_at == len(transfer.parameters) + START_UP + LATENCY + beats
    assert bench.activity[Activity.BUSY] == beats
    assert bench.activity[Activity.IDLE] == REST


@cocotb.test(skip=STORE)
async def padding_fills_a_port_a_cycle(dut: Any) -> None:
    row, count = 2 * CONFIG.bus_bytes * 8, 16
    long_rows = rows(bytes_per_row=row, count=count, stride=0, hi1=0)
    bench = await measured(dut, [long_rows])
    assert bench.finished_at <= 8 * count + 30
    bench = await measured(dut, [rows(bytes_per_row=8, count=200, stride=0, hi1=0)])
    assert bench.finished_at <= 200 + 30
    assert bench.bus.delivered == 0


@cocotb.test()
async def indexed_rows_come_one_a_cycle(dut: Any) -> None:
    indexed = rows(bytes_per_row=CONFIG.bus_bytes, count=16, stride=256,
                   index_base=CONFIG.scratchpad_bytes - 64, bound2=8)
    indexed.instruction = FORM(window=2, indexed=1)
    bench = await measured(dut, [indexed])
    dut._log.info(f"128 indexed rows of one beat: {bench.finished_at} cycles")
    assert bench.finished_at <= 128 / min(1, CONFIG.outstanding_bursts / (LATENCY + 8)) + 60
