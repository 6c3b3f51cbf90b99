from pathlib import Path

import pytest

from hw.config import load
from hw.core.memory.local_memory import LocalMemory
from verif.build import run_cocotb

UNEQUAL = """base = "tiny"
array_rows = 2
array_cols = 8
scratchpad_banks = 4
accumulator_banks = 2
"""
"""Every port has another width than its neighbour, and the memories another number of banks."""


@pytest.mark.parametrize("config", ["tiny", "unequal.toml"])
def test_local_memory(config: str, tmp_path: Path) -> None:
    (tmp_path / "unequal.toml").write_text(UNEQUAL)
    source = str(tmp_path / config) if config.endswith(".toml") else config
    run_cocotb(LocalMemory(load(source)), "verif.memory.tb_local_memory", env={"CONFIG": source})
