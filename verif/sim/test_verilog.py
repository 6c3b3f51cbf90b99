"""Verilog generation: identical modules are emitted once, different ones are kept apart."""

import re

import pytest
from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sim import verilog
from sim.verilog import VerilogError, to_verilog


class Delay(wiring.Component):
    """A register, its input inverted or not."""

    def __init__(self, invert: bool) -> None:
        self._invert = invert
        super().__init__({"value": In(8), "delayed": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.delayed.eq(~self.value if self._invert else self.value)
        return m


class Stage(wiring.Component):
    """Two registers in a row."""

    def __init__(self, invert: bool) -> None:
        self._invert = invert
        super().__init__({"value": In(8), "delayed": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.first = first = Delay(False)
        m.submodules.second = second = Delay(self._invert)
        m.d.comb += [first.value.eq(self.value), second.value.eq(first.delayed),
                     self.delayed.eq(second.delayed)]
        return m


class Chain(wiring.Component):
    """Stages in a row, some of which invert."""

    def __init__(self, inversions: list[bool]) -> None:
        self._inversions = inversions
        super().__init__({"value": In(8), "delayed": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value: Value = self.value
        for number, invert in enumerate(self._inversions):
            m.submodules[f"stage{number}"] = stage = Stage(invert)
            m.d.comb += stage.value.eq(value)
            value = stage.delayed
        m.d.comb += self.delayed.eq(value)
        return m


def _modules(text: str) -> list[str]:
    return re.findall(r"(?m)^module (\S+?)\s*\(", text)


@pytest.mark.parametrize("inversions, modules", [
    # Amaranth names the first stage's ports after those of the top, so it is a module of its own.
    ([False] * 6, ["top", "first stage", "stage", "delay"]),
    ([True, False] * 3, ["top", "first stage", "stage", "inverting stage", "delay", "inverter"]),
])
def test_identical_modules_are_shared(inversions: list[bool], modules: list[str]) -> None:
    text = to_verilog(Chain(inversions))
    assert len(_modules(text)) == len(modules)
    types = re.findall(r"(?m)^  (\S+) +stage\d+ \(", text)
    assert len(types) == len(inversions)
    for number in range(1, len(types)):
        assert (types[number] == types[1]) == (inversions[number] == inversions[1])


def test_yosys_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilog, "share_modules", lambda text: text + "nonsense")
    with pytest.raises(VerilogError, match="ERROR"):
        to_verilog(Delay(False))


class Rows(wiring.Component):
    """A memory whose parts of four bits are written alone."""

    address: In(2)
    mask: In(4)
    value: In(16)
    row: Out(16)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=16, depth=4, init=[])
        write, read = memory.write_port(granularity=4), memory.read_port()
        m.d.comb += [write.addr.eq(self.address), write.data.eq(self.value),
                     write.en.eq(self.mask), read.addr.eq(self.address), self.row.eq(read.data)]
        return m


def test_a_masked_write_is_one_statement() -> None:
    text = to_verilog(Rows())
    writes = re.findall(r"memory\[\S+\] <= \(memory\[\S+\] & ~(\{.*\})\) \| \(\S+ & (.*)\);", text)
    assert len(writes) == 1
    kept, written = writes[0]
    assert kept == written
    assert [int(n) for n in re.findall(r"\{4\{\S+?\[(\d)\]\}\}", written)] == [3, 2, 1, 0]
