"""The shared read channels."""

from hw.config import TINY
from hw.core.bus import ReadArbiter
from verif.build import run_cocotb


def test_read_arbiter() -> None:
    assert run_cocotb(ReadArbiter(TINY), "verif.machine.tb_bus", env={"CONFIG": "tiny"}) == 1
