"""The whole machine behind AXI bus models."""

from hw.config import TINY
from verif.build import run_cocotb
from verif.machine.pins import AcceleratorPins


def test_machine() -> None:
    assert run_cocotb(AcceleratorPins(TINY), "verif.machine.tb_machine",
                      env={"CONFIG": "tiny"}) == 4
