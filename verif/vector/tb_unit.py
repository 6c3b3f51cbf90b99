"""The vector unit against the golden model."""

import os
import random
from itertools import pairwise
from typing import Any

import cocotb
import numpy as np

from hw.config import load
from hw.isa.state import LocalMemory, MachineState
from verif.programs.generator import Maker
from verif.vector.bench import Bench, Command
from verif.vector.linear import chain_program
from verif.vector.programs import execute, random_commands

CONFIG = load(os.environ["CONFIG"])
KERNELS = 4
"""Random kernels of one program."""


def _golden(seed: int) -> MachineState:
    """A machine with something of every type in its memory."""
    machine = MachineState(CONFIG)
    rng = np.random.default_rng(seed)
    words = (rng.standard_normal(len(machine.local.data) // 4) * 8).astype(np.float32)
    data = words.view(np.uint8).reshape(-1, 64)
    kind = rng.integers(0, 3, len(data))
    data[kind == 1] = rng.integers(0, 256, data[kind == 1].shape)
    small = rng.integers(-50, 50, (int((kind == 2).sum()), 16), dtype=np.int32)
    data[kind == 2] = small.view(np.uint8).reshape(-1, 64)
    machine.local.data[:] = data.reshape(-1)
    return machine


def _copy(local: LocalMemory) -> LocalMemory:
    copy = LocalMemory(CONFIG)
    copy.data[:] = local.data
    return copy


async def _lockstep(dut: Any, machine: MachineState, commands: list[Command], **traffic: float
                    ) -> Bench:
    """Runs the commands on both; memories must be equal at the end."""
    memory = _copy(machine.local)
    kernels = execute(machine, commands)
    bench = Bench(dut, CONFIG, memory, **traffic)
    bench.add(commands)
    await bench.reset()
    await bench.run(kernels)
    assert bench.fault is None, f"fault {bench.fault}"
    different = np.flatnonzero(memory.data != machine.local.data)
    assert not len(different), (
        f"{len(different)} bytes differ, the first at {different[0]:#x}: expected "
        f"{machine.local.data[different[0]]:#x}, got {memory.data[different[0]]:#x}")
    return bench


@cocotb.test()
async def random_kernels(dut: Any) -> None:
    for _ in range(int(os.environ["PROGRAMS"])):
        seed = random.getrandbits(32)
        machine = _golden(seed)
        commands = random_commands(Maker(CONFIG, seed), KERNELS)
        traffic = random.choice([0.0, 0.0, 0.2, 0.6])
        dut._log.info(f"program {seed}, {traffic} of the requests refused")
        await _lockstep(dut, machine, commands, refused=traffic, gaps=traffic)


@cocotb.test()
async def throughput(dut: Any) -> None:
    """Fused chains over 4,096 elements: a lone kernel and kernels behind each other."""
    groups = 4096 // CONFIG.lanes
    for operations in (1, 2, 4, 8):
        machine = _golden(1)
        bench = await _lockstep(dut, machine, chain_program(CONFIG, operations, groups, 2))
        first, *later = [b - a for a, b in pairwise([bench.started, *bench.retired])]
        dut._log.info(f"{operations} operations: alone {first}, then {later} cycles")
        assert max(first, *later) * 0.95 <= operations * groups
