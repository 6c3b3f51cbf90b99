"""The weight loader."""

import pytest

from hw.core.matrix.loader import WeightLoader
from verif.build import run_cocotb
from verif.matrix.variants import variant


@pytest.mark.parametrize("name", ["tiny", "tall", "wide"])
def test_loader(name: str) -> None:
    run_cocotb(WeightLoader(variant(name)), "verif.matrix.tb_loader", env={"CONFIG": name})
