"""Every lane operation against its numpy meaning, corner cases included."""

import os
import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.config import load
from hw.core.vector.lane import STAGES
from hw.core.vector.lanes import special_steps
from hw.core.vector.operations import LANE_CONTROL, LANE_CONTROLS
from hw.isa import special
from hw.isa.kernel import lane_function
from hw.isa.vector import BINARY, SPECIAL, TERNARY, UNARY
from verif.vector import groups

CONFIG = load(os.environ["CONFIG"]).replace(sfu_lanes=int(os.environ["SFU_LANES"]))
LANES = CONFIG.lanes
GROUPS = 150
"""Random groups of operands for each operation."""
OPERANDS = {**dict.fromkeys(UNARY, 1), **dict.fromkeys(SPECIAL, 1), **dict.fromkeys(BINARY, 2),
            **dict.fromkeys(TERNARY, 3)}
CORNERS = np.array([
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800000, 0x01000000,
    0x3F800000, 0xBF800000, 0x3F000000, 0xBF000000, 0x3EFFFFFF, 0x3FC00000, 0x40200000, 0xC0200000,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFC12345,
    0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0x4F7FFFFF, 0x4F800000, 0x4B000000, 0x4B7FFFFF,
    0x4AFFFFFF, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x38800000, 0x387FFFFF, 0x33000000, 0x33000001,
    0x42B17218, 0xC2AEAC50, 0x7FFFFFFF, 0xFFFFFFFF, 31, 32, 33, 0x10000,
], np.uint32)
"""Zeros, subnormals, limits of every type, ties, NaNs, shift distances."""

Operation = tuple[str, list[NDArray[np.uint32]]]
"""A mnemonic and operands (groups, L)."""


def _random_operands(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Corner cases, raw bits, moderate floats and small integers."""
    shape = (count, LANES)
    raw = rng.integers(0, 1 << 32, shape).astype(np.uint32)
    exponent = rng.integers(90, 165, shape).astype(np.uint32)
    moderate = (raw & np.uint32(0x807FFFFF)) | (exponent << np.uint32(23))
    small = rng.integers(-40, 40, shape).astype(np.int32).view(np.uint32)
    kinds = [raw, moderate, rng.choice(CORNERS, shape), small]
    return np.choose(rng.integers(0, len(kinds), shape), kinds).astype(np.uint32)


def _near(rng: np.random.Generator, a: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same values or their neighbours, with either sign, for half of the lanes."""
    neighbour = a + rng.integers(-1, 2, a.shape).astype(np.uint32)
    flipped = neighbour ^ (rng.integers(0, 2, a.shape).astype(np.uint32) << np.uint32(31))
    other = _random_operands(rng, len(a))
    return np.where(rng.random(a.shape) < 0.5, flipped, other).astype(np.uint32)


def _operations(rng: np.random.Generator) -> list[Operation]:
    operations: list[Operation] = []
    for mnemonic, count in OPERANDS.items():
        if mnemonic in SPECIAL and not CONFIG.special_function_unit:
            continue
        first = _random_operands(rng, GROUPS)
        operations.append((mnemonic, [first, *(_near(rng, first) for _ in range(count - 1))]))
    return operations


def _expected(mnemonic: str, operands: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    if mnemonic == "perm":
        lane = (operands[1] & np.uint32(LANES - 1)).astype(np.int64)
        return np.take_along_axis(operands[0], lane, axis=1)
    flat = [operand.reshape(-1) for operand in operands]
    return np.asarray(lane_function(mnemonic)(*flat)).reshape(operands[0].shape)


async def _start(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0


async def _check(dut: Any, operations: list[Operation]) -> None:
    """Issues all groups behind each other and compares the results as they come."""
    pending: deque[tuple[str, NDArray[np.uint32], list[Any]] | None] = deque([None] * STAGES)
    for mnemonic, operands in operations:
        expected = _expected(mnemonic, operands)
        steps = special_steps(CONFIG) if mnemonic in SPECIAL else 1
        dut.control.value = LANE_CONTROL.const(LANE_CONTROLS[mnemonic]).as_value().value
        for number in range(len(operands[0])):
            group = [operand[number] for operand in operands]
            for name, operand in zip("abc", group, strict=False):
                getattr(dut, name).value = groups.to_vector(operand)
            for step in range(steps):
                dut.step.value = step
                final = step == steps - 1
                pending.append((mnemonic, expected[number], group) if final else None)
                await _compare(dut, pending.popleft())
    for case in pending:
        await _compare(dut, case)


async def _compare(dut: Any, case: tuple[str, NDArray[np.uint32], list[Any]] | None) -> None:
    await ReadOnly()
    if case is not None:
        mnemonic, expected, operands = case
        got = groups.from_vector(int(dut.result.value), LANES)
        if not np.array_equal(got, expected):
            lane = int(np.flatnonzero(got != expected)[0])
            raise AssertionError(
                f"{mnemonic} of {[hex(int(operand[lane])) for operand in operands]}: expected "
                f"{int(expected[lane]):#010x}, got {int(got[lane]):#010x}")
    await RisingEdge(dut.clk)


@cocotb.test()
async def every_operation(dut: Any) -> None:
    rng = np.random.default_rng(random.getrandbits(32))
    await _start(dut)
    operations = _operations(rng)
    a, b = _random_operands(rng, GROUPS), _random_operands(rng, GROUPS)
    await _check(dut, [*operations, ("perm", [a, b])])


@cocotb.test()
async def operations_mixed(dut: Any) -> None:
    """Every operation next to every other: nothing of one reaches another."""
    rng = np.random.default_rng(random.getrandbits(32))
    await _start(dut)
    operations = [(mnemonic, [operand[i:i + 1] for operand in operands])
                  for mnemonic, operands in _operations(rng) for i in range(12)]
    random.shuffle(operations)
    await _check(dut, operations)


@cocotb.test(skip=not CONFIG.special_function_unit)
async def every_table_entry(dut: Any) -> None:
    """Special functions at the ends and inside of each interval, at random exponents."""
    rng = np.random.default_rng(random.getrandbits(32))
    await _start(dut)
    positions = [0, 1, 0x7FFF, 0x8000, 0xFFFF]
    fractions = np.array([(entry << 16) | position for entry in range(128)
                          for position in positions], np.uint32)
    for mnemonic in special.FUNCTIONS:
        near_one = rng.integers(112, 136, len(fractions))
        exponents = np.where(rng.random(len(fractions)) < 0.7, near_one,
                             rng.integers(0, 256, len(fractions))).astype(np.uint32)
        # Both parities, because the table of rsqrt depends on it.
        operands = np.concatenate([
            fractions | (exponents ^ np.uint32(odd)) << np.uint32(23) for odd in (0, 1)])
        signs = rng.integers(0, 2, len(operands)).astype(np.uint32) << np.uint32(31)
        signed = operands if mnemonic == "rsqrt" else operands | signs
        await _check(dut, [(mnemonic, [signed.reshape(-1, LANES)])])
