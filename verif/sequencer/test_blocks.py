"""The sequencer's blocks one by one."""

import pytest
from amaranth.lib import wiring

from hw.config import TINY, AcceleratorConfig, load
from hw.core.sequencer.alu import Alu
from hw.core.sequencer.icache import InstructionCache
from hw.core.sequencer.loops import LoopStack
from hw.core.sequencer.queue import CommandQueue
from hw.core.sequencer.registers import RegisterFile
from hw.core.sequencer.semaphores import Semaphores
from verif.build import run_cocotb


@pytest.mark.parametrize(("component", "testbench", "tests"), [
    (Alu(), "tb_alu", 2),
    (CommandQueue(TINY), "tb_queue", 3),
    (LoopStack(), "tb_loops", 1),
    (RegisterFile(), "tb_registers", 1),
    (Semaphores(), "tb_semaphores", 2),
])
def test_block(component: wiring.Component, testbench: str, tests: int) -> None:
    module = f"verif.sequencer.{testbench}"
    assert run_cocotb(component, module, env={"CONFIG": "tiny"}) == tests


NARROW = "name = 'narrow'\nbase = 'tiny'\nbus_bytes = 4\nicache_bytes = 1024\n"


@pytest.mark.parametrize("name", ["narrow", "tiny", "large"])
def test_icache(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = name
    if name == "narrow":
        file = tmp_path_factory.mktemp("config") / "narrow.toml"
        file.write_text(NARROW)
        source = str(file)
    config: AcceleratorConfig = load(source)
    assert run_cocotb(InstructionCache(config), "verif.sequencer.tb_icache",
                      env={"CONFIG": source}) == 2
