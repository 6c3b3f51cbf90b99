import pytest

from hw.config import load
from hw.core.dma.load_dma import LoadDma
from hw.core.dma.store_dma import StoreDma
from verif.build import run_cocotb


@pytest.mark.parametrize("direction, engine", [("load", LoadDma), ("store", StoreDma)])
@pytest.mark.parametrize("config", ["tiny", "default"])
def test_dma(direction: str, engine: type[LoadDma | StoreDma], config: str) -> None:
    run_cocotb(engine(load(config)), "verif.dma.tb_dma",
               env={"CONFIG": config, "DIRECTION": direction})
