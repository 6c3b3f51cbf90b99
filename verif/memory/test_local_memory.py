import pytest

from hw.config import load
from hw.core.memory.local_memory import LocalMemory
from verif.build import run_cocotb


@pytest.mark.parametrize("config", ["tiny", "fpga"])
def test_local_memory(config: str) -> None:
    run_cocotb(LocalMemory(load(config)), "verif.memory.tb_local_memory", env={"CONFIG": config})
