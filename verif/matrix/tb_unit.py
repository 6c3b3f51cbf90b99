"""The whole matrix unit against the instructions' meaning."""

import os
import random
from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np

from hw.core.interfaces import COMMAND, FAULT
from hw.core.matrix.unit import launch_to_write
from hw.isa.encoding import Instruction
from hw.isa.host import Activity, Cause, Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import MatrixParam
from hw.isa.state import MachineState
from hw.isa.sync import Set
from verif.build import pack, unpack
from verif.matrix.bench import (
    Agents,
    Bytes,
    Memory,
    ReadPort,
    Source,
    WritePort,
    machine,
    random_operands,
    reset,
)

Command = tuple[Instruction, int, int]


class Monitor:
    """Counts retired commands and activities, and sees faults."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self.retired = 0
        self.activities = [0] * len(Activity)
        self.fault: dict[str, int] | None = None

    def drive(self) -> None:
        self._dut.stop.value = self.fault is not None

    def sample(self) -> None:
        self.retired += int(self._dut.retire.value)
        self.activities[int(self._dut.activity.value)] += 1
        if int(self._dut.fault__valid.value) and self.fault is None:
            self.fault = unpack(FAULT, int(self._dut.fault__payload.value))


class Bench:
    """The unit, memory and the golden machine, side by side."""

    def __init__(self, dut: Any, refusal: float, command_chance: float) -> None:
        config = machine()
        self.config, self._dut, self._chance = config, dut, command_chance
        self.memory = Memory(config, refusal)
        self.golden = MachineState(config)
        self.commands: list[Command] = []
        self.parameters = [0] * len(MatrixParam)
        operands = 2 * max(config.array_rows, config.array_cols)
        row = config.accumulator_row_bytes
        self.source = Source(dut, "commands", [], command_chance)
        self.monitor = Monitor(dut)
        self.activations = ReadPort(dut, "activations", 2 * config.array_rows, self.memory)
        self.agents = Agents(dut, [
            self.source, self.activations,
            ReadPort(dut, "weights", operands, self.memory),
            ReadPort(dut, "acc_read", row, self.memory, refusable=False),
            WritePort(dut, "acc_write", row, self.memory), self.monitor,
        ])

    async def start(self) -> None:
        await reset(self._dut, commands__valid=0, stop=0)

    async def restart(self) -> None:
        """Resets the unit, as the machine does before a program, and forgets all commands."""
        self._dut.rst.value = 1
        self.source.payloads.clear()
        for _ in range(2):
            await self.agents.step()
        self._dut.rst.value = 0
        self.monitor.fault, self.monitor.retired = None, 0
        self.commands.clear()
        self.parameters = [0] * len(MatrixParam)
        self.golden = MachineState(self.config)

    def fill(self, values: Callable[[int], Bytes]) -> None:
        """Gives both memories the same contents."""
        self.memory.scratchpad[:] = values(len(self.memory.scratchpad))
        self.memory.accumulators[:] = values(len(self.memory.accumulators))
        self.golden.local.scratchpad[:] = self.memory.scratchpad
        self.golden.local.accumulators[:] = self.memory.accumulators.view(np.uint32)

    def set(self, **values: int) -> None:
        """Appends `set` commands for the parameters that change."""
        for name, value in values.items():
            index = MatrixParam[name.upper()]
            if self.parameters[index] != value & 0xFFFFFFFF:
                self.parameters[index] = value & 0xFFFFFFFF
                self.add(Set(engine=Engine.MATRIX, index=index), value)

    def add(self, instruction: Instruction, a: int, b: int = 0) -> None:
        self.commands.append((instruction, a & 0xFFFFFFFF, b & 0xFFFFFFFF))
        self.source.payloads.append(
            pack(COMMAND, {"word": instruction.encode(), "a": a, "b": b}))

    async def run(self, limit: int) -> int:
        """Until everything has retired; the cycles it took."""
        work = sum(instruction.RETIRES for instruction, _, _ in self.commands)
        return await self.agents.until(
            lambda: self.monitor.retired == work and not self.source.payloads, limit)

    def check(self) -> None:
        """Accumulators equal to those of the golden machine."""
        for instruction, a, b in self.commands:
            instruction.execute(self.golden, a, b)
        got = self.memory.accumulators.view(np.uint32).reshape(-1, self.config.array_cols)
        want = self.golden.local.accumulators.reshape(-1, self.config.array_cols)
        for row, column in np.argwhere(got != want)[:1]:
            raise AssertionError(f"row {row}, column {column}: got {got[row, column]:#010x}, "
                                 f"want {want[row, column]:#010x}")


def random_bits(size: int) -> Bytes:
    return random_operands(size // 2).view(np.uint8)


def random_multiply(bench: Bench) -> None:
    config = bench.config
    # Bounds of zero and rows that come back at once are what a schedule stumbles over.
    reach = config.accumulator_rows
    while reach >= config.accumulator_rows:
        bounds = [random.choice([0, 1, 1, 1, 2, 3, 5]) for _ in range(4)]
        if random.random() < 0.6:
            bounds = [random.randint(1, 20), 1, random.randint(1, 3), 1]
        strides = [random.choice([0, 1, 2, 3, 7]) for _ in range(4)]
        reach = sum(max(bound - 1, 0) * stride
                    for bound, stride in zip(bounds, strides, strict=True))
    bench.set(**{f"bound{n + 1}": bound for n, bound in enumerate(bounds)})
    bench.set(**{f"cstride{n + 1}": stride for n, stride in enumerate(strides)})
    bench.set(**{f"astride{n + 1}": 2 * random.randint(-30, 30) for n in range(4)})
    bench.add(
        Multiply(accumulate=random.randint(0, 1), swap=random.randint(0, 1)),
        2 * random.randint(2000, 4000),
        random.randint(0, config.accumulator_rows - 1 - reach),
    )


def random_load(bench: Bench) -> None:
    config = bench.config
    integer = config.int8 and random.random() < 0.4
    full = random.random() < 0.5
    bench.set(
        k=config.array_rows if full else random.randint(1, config.array_rows),
        n=config.array_cols if full else random.randint(1, config.array_cols),
        wstride=random.randint(-40, 40) if integer else 2 * random.randint(-40, 40),
    )
    base = random.randint(2000, 4000)
    bench.add(LoadWeights(transposed=random.randint(0, 1), integer=int(integer),
                          diagonal=int(random.random() < 0.2)),
              base if integer else base & ~1)


@cocotb.test()
async def random_commands(dut: Any) -> None:
    np.random.seed(random.getrandbits(32))
    bench = Bench(dut, float(os.environ.get("REFUSAL", "0")), float(os.environ.get("PACE", "1")))
    await bench.start()
    bench.fill(random_bits)
    for _ in range(int(os.environ.get("COMMANDS", "60"))):
        random.choice([random_multiply, random_load])(bench)
    await bench.run(60000)
    bench.check()
    assert sum(bench.monitor.activities) == bench.agents.cycle


async def stream_tiles(bench: Bench, tiles: int, rows: int, *, integer: int, transposed: int,
                       sets: int) -> int:
    """Cycles from a standstill for so many pairs of `loadw` and `matmul`, `sets` between them."""
    config = bench.config
    size = 1 if integer else 2
    bench.set(k=config.array_rows, n=config.array_cols, wstride=size * config.array_cols)
    bench.set(bound1=rows, bound2=1, bound3=1, bound4=1, cstride1=1)
    bench.set(astride1=size * config.array_rows)
    for tile in range(tiles):
        # Of a level with one iteration, so the value does not matter, but it is always another.
        bench.set(**{f"cstride{4 - n}": len(bench.commands) for n in range(sets)})
        bench.add(LoadWeights(integer=integer, transposed=transposed), 1024 + 64 * tile)
        row = rows * tile % (config.accumulator_rows // 2)
        bench.add(Multiply(accumulate=1, swap=1), 4096, row)
    return await bench.run(100 + tiles * (rows + 60))


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    bench = Bench(dut, 0.0, 1.0)
    await bench.start()
    bench.fill(random_bits)
    config = bench.config
    shortest = max(config.array_rows, config.array_cols)
    for integer in range(1 + config.int8):
        for transposed in (0, 1):
            for rows, sets in ((shortest, 0), (shortest, 2), (shortest + 1, 1), (4 * shortest, 2)):
                variant = {"integer": integer, "transposed": transposed, "sets": sets}
                await stream_tiles(bench, 1, rows, **variant)
                few = await stream_tiles(bench, 8, rows, **variant)
                many = await stream_tiles(bench, 20, rows, **variant)
                assert many - few == 12 * rows, f"{rows} rows, {variant}: {many - few} cycles"
    bench.check()


@cocotb.test()
async def latency(dut: Any) -> None:
    """A chain of rows on one accumulator goes at the pace of the array's latency."""
    bench = Bench(dut, 0.0, 1.0)
    await bench.start()
    bench.fill(random_bits)
    cycles = []
    for rows in (2, 4, 14):
        bench.set(k=1, n=1, bound1=rows, bound2=1, bound3=1, bound4=1)
        bench.add(LoadWeights(), 0)
        bench.add(Multiply(accumulate=1, swap=1), 0, 3)
        cycles.append(await bench.run(2000))
    assert cycles[2] - cycles[1] == 10 * (launch_to_write(bench.config) + 1)
    bench.check()


async def until_fault(bench: Bench) -> dict[str, int] | None:
    await bench.agents.until(lambda: bench.monitor.fault is not None, 500)
    return bench.monitor.fault


@cocotb.test()
async def illegal_commands(dut: Any) -> None:
    """Each is reported once what was before it has retired, and is not executed."""
    config = machine()
    rows, columns = config.array_rows, config.array_cols
    good = {"k": rows, "n": columns}
    set_beyond = Set(engine=Engine.MATRIX, index=len(MatrixParam))
    cases = [
        (good, set_beyond), (good | {"k": 0}, LoadWeights()),
        (good | {"k": rows + 1}, LoadWeights()), (good | {"n": 0}, LoadWeights(transposed=1)),
        (good | {"n": columns + 1}, LoadWeights()), (good | {"k": 1 << 31}, LoadWeights()),
    ]
    if not config.int8:
        cases.append((good, LoadWeights(integer=1)))
    bench = Bench(dut, 0.0, 1.0)
    await bench.start()
    for parameters, instruction in cases:
        bench.set(**good, bound1=3, bound2=1, bound3=1, bound4=1, cstride1=1)
        bench.add(LoadWeights(), 64)
        bench.add(Multiply(swap=1), 128, 7)
        bench.set(**parameters)
        before = bench.monitor.retired
        bench.add(instruction, 0)
        fault = await until_fault(bench)
        assert fault == {"cause": Cause.ILLEGAL, "address": instruction.encode() & 0xFFFFFFFF}
        assert bench.monitor.retired == before + 2
        await bench.restart()


@cocotb.test()
async def misaligned_operands(dut: Any) -> None:
    config = machine()
    bench = Bench(dut, 0.0, 1.0)
    await bench.start()
    for weights, activations, expected in ((65, 128, 65), (64, 131, 131)):
        bench.set(k=config.array_rows, n=config.array_cols)
        bench.set(bound1=3, bound2=1, bound3=1, bound4=1)
        bench.add(LoadWeights(), weights)
        bench.add(Multiply(swap=1), activations, 7)
        assert await until_fault(bench) == {"cause": Cause.MISALIGNED, "address": expected}
        await bench.restart()


@cocotb.test()
async def restarts(dut: Any) -> None:
    """A reset in the middle of everything leaves nothing behind: the next program is right."""
    np.random.seed(random.getrandbits(32))
    bench = Bench(dut, 0.1, 1.0)
    await bench.start()
    for cycles in (15, 30, 60, 90, 120, 150):
        bench.fill(random_bits)
        for _ in range(30):
            random.choice([random_multiply, random_load])(bench)
        for _ in range(cycles):
            await bench.agents.step()
        await bench.restart()
    bench.fill(random_bits)
    for _ in range(30):
        random.choice([random_multiply, random_load])(bench)
    await bench.run(60000)
    bench.check()
