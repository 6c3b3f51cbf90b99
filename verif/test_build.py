"""The testbench runner itself: it must report every way in which a testbench does not pass."""

from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from verif.build import pack, run_cocotb, unpack

TESTBENCH = "verif.tb_build"


class Increment(wiring.Component):
    """Adds one to a byte, with a register in between."""

    def __init__(self) -> None:
        super().__init__({"input": In(stream.Signature(8)), "output": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        full = Signal()
        m.d.comb += [self.input.ready.eq(~full | self.output.ready), self.output.valid.eq(full)]
        with m.If(self.input.ready):
            m.d.sync += [self.output.payload.eq(self.input.payload + 1), full.eq(self.input.valid)]
        return m


def test_passes() -> None:
    assert run_cocotb(Increment(), TESTBENCH, testcase="increments", env={"OPERAND": "41"}) == 1


@pytest.mark.parametrize("testcase, message", [
    ("fails", "1 of 1 cocotb tests failed(.|\n)*nothing was sent"),
    ("crashes", "ended abnormally"),
    ("no_such_test", "no cocotb test ran"),
])
def test_reports(testcase: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run_cocotb(Increment(), TESTBENCH, testcase=testcase)


def test_waveform(tmp_path: Path) -> None:
    waves = tmp_path / "increment.vcd"
    run_cocotb(Increment(), TESTBENCH, testcase="increments", env={"OPERAND": "1"}, waves=waves)
    assert "output__payload" in waves.read_text()


def test_payload_fields() -> None:
    layout = data.StructLayout({"address": 32, "last": 1, "response": 2})
    vector = pack(layout, {"address": -1, "response": 2})
    assert vector == 0x4_FFFF_FFFF
    assert unpack(layout, vector) == {"address": 0xFFFF_FFFF, "last": 0, "response": 2}
