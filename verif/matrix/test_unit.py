"""The matrix unit as a whole."""

import pytest

from hw import config
from hw.core.matrix.unit import MatrixUnit
from verif.build import run_cocotb

TESTBENCH = "verif.matrix.tb_unit"


@pytest.mark.parametrize("name, refusal, pace", [
    ("tiny", "0", "1"), ("tiny", "0.4", "1"), ("tiny", "0.2", "0.3"), ("tiny-noint8", "0.1", "1"),
])
def test_random_commands(name: str, refusal: str, pace: str) -> None:
    run_cocotb(MatrixUnit(config.load(name)), TESTBENCH, testcase="random_commands",
               env={"CONFIG": name, "REFUSAL": refusal, "PACE": pace})
