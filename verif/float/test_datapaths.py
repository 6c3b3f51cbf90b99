"""Adder, multipliers, conversions and roundings."""

from verif.build import run_cocotb
from verif.float.datapaths import Datapaths


def test_equal_to_golden() -> None:
    run_cocotb(Datapaths(), "verif.float.tb_datapaths", env={"COUNT": "4000"})
