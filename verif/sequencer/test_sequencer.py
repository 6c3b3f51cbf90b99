"""The sequencer as a whole."""

import pytest

from hw.config import load
from hw.core.sequencer.sequencer import Sequencer
from verif.build import run_cocotb

TESTBENCH = "verif.sequencer.tb_sequencer"


@pytest.mark.parametrize(("name", "programs"), [("tiny", 60), ("default", 60)])
def test_sequencer(name: str, programs: int) -> None:
    environment = {"CONFIG": name, "SEED": "1", "PROGRAMS": str(programs)}
    assert run_cocotb(Sequencer(load(name)), TESTBENCH, env=environment) == 3
