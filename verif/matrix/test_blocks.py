"""The small parts of the matrix unit."""

import pytest

from hw.config import TINY
from hw.core.matrix.busy import BusyTable
from hw.core.matrix.nest import RowNest
from hw.core.matrix.retire import RetireOrder
from hw.core.matrix.transposer import Transposer
from verif.build import run_cocotb
from verif.matrix.variants import variant

TESTBENCH = "verif.matrix.tb_blocks"


@pytest.mark.parametrize("name", ["tiny", "tall", "wide"])
def test_transposer(name: str) -> None:
    run_cocotb(Transposer(variant(name)), TESTBENCH, testcase="transposes", env={"CONFIG": name})


def test_row_nest() -> None:
    run_cocotb(RowNest(TINY), TESTBENCH, testcase="walks", env={"CONFIG": "tiny"})


def test_busy_table() -> None:
    run_cocotb(BusyTable(16), TESTBENCH, testcase="knows_rows_under_way")


def test_retire_order() -> None:
    run_cocotb(RetireOrder(), TESTBENCH, testcase="retires_in_order")
