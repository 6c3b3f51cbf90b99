import pytest

from hw.core.memory.arbiter import BankArbiter
from verif.build import run_cocotb


@pytest.mark.parametrize("ports, banks, never_refused", [(11, 12, 1), (5, 6, 0), (7, 4, 0)])
def test_arbiter(ports: int, banks: int, never_refused: int) -> None:
    arbiter = BankArbiter(ports=ports, banks=banks, never_refused=never_refused)
    run_cocotb(arbiter, "verif.memory.tb_arbiter", env={
        "PORTS": str(ports), "BANKS": str(banks), "NEVER_REFUSED": str(never_refused)})
