"""The host block: the machine as the host's bus sees it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.core.host.axi_lite import REGISTER_BYTES, AxiLiteSubordinate
from hw.core.host.control import ENGINE_FAULT, RunControl
from hw.core.host.counters import ActivityCounters
from hw.core.interfaces import ACTIVITY_BITS
from hw.isa.host import COUNTER_STRIDE, IDENTITY, VERSION, WINDOW_STRIDE, WINDOWS, Csr, Engine

_WORD_BYTES = 4


class HostBlock(wiring.Component):
    """Registers of `hw.isa.host.Csr` over AXI4-Lite, run control, counters, interrupt.

    Addresses without a register read as zero and ignore writes. Pairs that count are to be read,
    windows and entry to be changed, while the machine is stopped. The base of the program's
    window is a multiple of 64 bytes, that of others of the bus width.

    Members:
        bus: AXI4-Lite. interrupt: level, while pending and enabled.
        windows, entry: what the host has set.
        reset, stop, faults, halted, pc, quiet: as of `RunControl`.
        activities: of each engine in this cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "bus": In(interfaces.axi_lite()),
            "interrupt": Out(1),
            "windows": Out(data.ArrayLayout(WINDOW, WINDOWS)),
            "entry": Out(32),
            "reset": Out(1),
            "stop": Out(1),
            "faults": In(data.ArrayLayout(ENGINE_FAULT, len(Engine))),
            "halted": In(1),
            "pc": In(32),
            "quiet": In(1),
            "activities": In(data.ArrayLayout(ACTIVITY_BITS, len(Engine))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port = port = AxiLiteSubordinate()
        m.submodules.control = control = RunControl()
        m.submodules.counters = counters = ActivityCounters()
        wiring.connect(m, port.bus, wiring.flipped(self.bus))
        m.d.comb += [
            control.faults.eq(self.faults), control.halted.eq(self.halted),
            control.pc.eq(self.pc), control.quiet.eq(self.quiet),
            self.reset.eq(control.reset), self.stop.eq(control.stop),
            counters.clear.eq(control.begins), counters.running.eq(control.running),
            counters.activities.eq(self.activities),
        ]
        watchdog = self._settings(m, port.write)
        interrupt = self._commands(m, port.write, control)
        m.d.comb += control.watchdog.eq(watchdog)
        self._read(m, port, control, counters,
                   {**_pair(Csr.WATCHDOG, watchdog), Csr.INTERRUPT: interrupt})
        return m

    def _window_words(self) -> dict[int, Value]:
        words: dict[int, Value] = {}
        for number in range(WINDOWS):
            window, at = self.windows[number], Csr.WINDOWS + number * WINDOW_STRIDE
            rights = Cat(window.readable, window.writable)
            words |= {**_pair(at, window.base), at + 8: window.size, at + 12: rights}
        return words

    def _settings(self, m: Module, write: data.View) -> Signal:
        """Registers that only the host changes. Returns the watchdog."""
        watchdog = Signal(64)
        writable = {Csr.ENTRY: self.entry, **_pair(Csr.WATCHDOG, watchdog), **self._window_words()}
        for address, register in writable.items():
            with m.If(write.valid & (write.address == address)):
                for byte in range(_WORD_BYTES):
                    part = register[8 * byte : 8 * byte + 8]
                    with m.If(write.strobe[byte]):
                        m.d.sync += part.eq(write.data[8 * byte : 8 * byte + len(part)])
        return watchdog

    def _commands(self, m: Module, write: data.View, control: RunControl) -> Value:
        """Start, stop and the interrupt. Returns the interrupt register."""
        enable, pending = Signal(), Signal()
        low = write.valid & write.strobe[0]
        with m.If(low & (write.address == Csr.CONTROL)):
            m.d.comb += Cat(control.start, control.abort).eq(write.data)
        with m.If(low & (write.address == Csr.INTERRUPT)):
            m.d.sync += [enable.eq(write.data[0]), pending.eq(pending & ~write.data[1])]
        with m.If(control.ends):
            m.d.sync += pending.eq(1)
        m.d.comb += self.interrupt.eq(enable & pending)
        return Cat(enable, pending)

    def _read(self, m: Module, port: AxiLiteSubordinate, control: RunControl,
              counters: ActivityCounters, values: dict[int, Value]) -> None:
        outcome = control.outcome
        values = {
            **values, **self._window_words(),
            Csr.IDENTITY: Const(IDENTITY), Csr.VERSION: Const(VERSION), Csr.ENTRY: self.entry,
            **_pair(Csr.FINGERPRINT, Const(self._config.fingerprint, 64)),
            Csr.STATUS: Cat(control.busy, outcome.done, outcome.error),
            Csr.CAUSE: Cat(outcome.cause, Const(0, 8 - len(Value.cast(outcome.cause))),
                           outcome.engine),
            Csr.CAUSE_ADDRESS: outcome.address, Csr.PC: outcome.pc,
            **_pair(Csr.CYCLES, outcome.cycles),
        }
        place = Signal(range(REGISTER_BYTES))
        stride_bits = exact_log2(COUNTER_STRIDE)
        m.d.comb += [
            place.eq(port.read_address - Csr.COUNTERS),
            counters.activity.eq(place[exact_log2(2 * _WORD_BYTES) : stride_bits]),
            counters.engine.eq(place[stride_bits:]),
        ]
        with m.Switch(port.read_address):
            for address, value in values.items():
                with m.Case(address):
                    m.d.comb += port.read_data.eq(value)
            with m.Default(), m.If(place < COUNTER_STRIDE * len(Engine)):
                m.d.comb += port.read_data.eq(Mux(place[2], counters.count[32:], counters.count))


def _pair(address: int, register: Value) -> dict[int, Value]:
    """A register of 64 bits as two words."""
    return {address: register[:32], address + _WORD_BYTES: register[32:]}
