import pytest

from hw.config import load
from hw.core.dma.row_generator import RowGenerator
from verif.build import run_cocotb


@pytest.mark.parametrize("direction", ["load", "store"])
def test_row_generator(direction: str) -> None:
    run_cocotb(RowGenerator(load("tiny"), store=direction == "store"),
               "verif.dma.tb_row_generator", env={"CONFIG": "tiny", "DIRECTION": direction})
