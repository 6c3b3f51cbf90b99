import pytest

from hw.config import load
from hw.core.dma.bursts import BurstSplitter
from verif.build import run_cocotb


@pytest.mark.parametrize("config", ["tiny", "large"])
def test_bursts(config: str) -> None:
    run_cocotb(BurstSplitter(load(config)), "verif.dma.tb_bursts", env={"CONFIG": config})
