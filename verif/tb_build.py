"""Tests that pass, fail, never end and end the simulator, for `test_build`."""

import os
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles


async def _reset(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0


@cocotb.test()
async def increments(dut: Any) -> None:
    await _reset(dut)
    dut.input__payload.value = int(os.environ["OPERAND"])
    dut.input__valid.value = 1
    dut.output__ready.value = 1
    await ClockCycles(dut.clk, 2)
    assert dut.output__valid.value == 1
    assert dut.output__payload.value == int(os.environ["OPERAND"]) + 1


@cocotb.test()
async def fails(dut: Any) -> None:
    await _reset(dut)
    assert dut.output__valid.value == 1, "nothing was sent"


@cocotb.test()
async def crashes(dut: Any) -> None:
    await _reset(dut)
    os.abort()
