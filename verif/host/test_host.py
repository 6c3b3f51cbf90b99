"""The host block."""

from hw.config import TINY
from hw.core.host.host import HostBlock
from verif.build import run_cocotb


def test_host() -> None:
    assert run_cocotb(HostBlock(TINY), "verif.host.tb_host", env={"CONFIG": "tiny"}) == 4
