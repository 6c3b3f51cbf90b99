"""The matrix unit as a whole."""

import pytest

from hw.core.matrix.unit import MatrixUnit
from verif.build import run_cocotb
from verif.matrix.variants import variant

TESTBENCH = "verif.matrix.tb_unit"


@pytest.mark.parametrize("name, refusal, pace, seed", [
    ("tiny", 0.0, 1.0, 1), ("tiny", 0.4, 1.0, 2), ("tiny", 0.2, 0.3, 3),
    ("tiny-noint8", 0.1, 1.0, 4), ("tall", 0.1, 1.0, 5), ("wide", 0.1, 1.0, 6),
])
def test_random_commands(name: str, refusal: float, pace: float, seed: int) -> None:
    environment = {"CONFIG": name, "REFUSAL": str(refusal), "PACE": str(pace), "COMMANDS": "100"}
    run_cocotb(MatrixUnit(variant(name)), TESTBENCH, testcase="random_commands", seed=seed,
               env=environment)


@pytest.mark.parametrize("testcase", [
    "no_bubbles", "latency", "illegal_commands", "misaligned_operands", "restarts",
])
@pytest.mark.parametrize("name", ["tiny", "tiny-noint8"])
def test_unit(name: str, testcase: str) -> None:
    run_cocotb(MatrixUnit(variant(name)), TESTBENCH, testcase=testcase, env={"CONFIG": name})
