"""The vector unit and its larger parts, compiled."""

import pytest
from amaranth.lib import wiring

from hw.config import TINY, load
from hw.core.vector.input_stream import InputStream
from hw.core.vector.lanes import Lanes
from hw.core.vector.unit import VectorUnit
from hw.core.vector.writer import Writer
from verif.build import run_cocotb


@pytest.mark.parametrize(("component", "testbench", "tests"), [
    (InputStream(TINY, indexed=True), "tb_input_stream", 3),
    (Writer(TINY), "tb_writer", 2),
    (VectorUnit(TINY), "tb_faults", 4),
])
def test_part(component: wiring.Component, testbench: str, tests: int) -> None:
    assert run_cocotb(component, f"verif.vector.{testbench}", env={"CONFIG": "tiny"}) == tests


@pytest.mark.parametrize("sfu_lanes", [1, 4])
def test_lanes(sfu_lanes: int) -> None:
    config = TINY.replace(sfu_lanes=sfu_lanes)
    env = {"CONFIG": "tiny", "SFU_LANES": str(sfu_lanes)}
    assert run_cocotb(Lanes(config), "verif.vector.tb_lanes", env=env) == 3


def test_unit() -> None:
    env = {"CONFIG": "tiny", "PROGRAMS": "30"}
    assert run_cocotb(VectorUnit(TINY), "verif.vector.tb_unit", env=env) == 2


def test_unit_without_special_functions() -> None:
    env = {"CONFIG": "tiny-nosfu", "PROGRAMS": "10"}
    assert run_cocotb(VectorUnit(load("tiny-nosfu")), "verif.vector.tb_unit",
                      testcase="random_kernels", env=env) == 1


@pytest.mark.full
@pytest.mark.parametrize("name", ["fpga", "default"])
def test_unit_at_size(name: str) -> None:
    env = {"CONFIG": name, "PROGRAMS": "40"}
    assert run_cocotb(VectorUnit(load(name)), "verif.vector.tb_unit", env=env, optimize="-O2") == 2
