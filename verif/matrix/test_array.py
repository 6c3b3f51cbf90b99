"""Processing element, skew registers and the array made of them."""

import pytest

from hw import config
from hw.core.matrix.array import UnskewedArray
from hw.core.matrix.pe import ProcessingElement
from hw.core.matrix.skew import Skew
from verif.build import run_cocotb


@pytest.mark.parametrize("name", ["tiny", "tiny-noint8"])
def test_processing_element(name: str) -> None:
    run_cocotb(ProcessingElement(config.load(name)), "verif.matrix.tb_pe", env={"CONFIG": name})


def test_skew() -> None:
    run_cocotb(Skew(4, (0, 1, 4, 1)), "verif.matrix.tb_array", testcase="skew")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_array(seed: int) -> None:
    run_cocotb(UnskewedArray(config.TINY), "verif.matrix.tb_array", testcase="tiles_and_rows",
               seed=seed, env={"CONFIG": "tiny"})
