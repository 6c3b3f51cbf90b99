"""Local memory: banked scratchpad and accumulators behind the ports of the engines."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Member, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.memory.access import Access
from hw.core.memory.arbiter import BankArbiter
from hw.core.memory.bank import Bank
from hw.core.memory.ports import Port, read_ports, write_ports
from hw.core.memory.read_path import ReadPath
from hw.core.memory.write_path import WritePath

MEMORY_FAULT = data.StructLayout({"valid": 1, "engine": 3, "address": 32})


class LocalMemory(wiring.Component):
    """Scratchpad and accumulators.

    An access of up to the port's width at any byte address is accepted when both banks it may
    touch are free; the response of a read is valid two cycles later. A write is seen by every
    read accepted in a later cycle. An access that leaves its memory, or names one that its port
    cannot reach, is accepted, not performed, and reported; a read then returns undefined data.

    Members, besides the ports of `hw.core.memory.ports` by their names:
        fault: one cycle after such an access was accepted: whose it was and its address;
            of several in one cycle that of the lowest engine number and its first port.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._reads = read_ports(config)
        self._writes = write_ports(config)
        reads: dict[str, Member] = {
            port.name: Out(interfaces.read_port(port.width_bytes).flip()) for port in self._reads
        }
        writes: dict[str, Member] = {
            port.name: Out(interfaces.write_port(port.width_bytes).flip()) for port in self._writes
        }
        super().__init__(reads | writes | {"fault": Out(MEMORY_FAULT)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks = self._banks(m)
        reads = [self._decode(m, port) for port in self._reads]
        writes = [self._decode(m, port) for port in self._writes]
        self._connect_reads(m, banks, reads, self._arbitrate(m, "read", reads))
        self._connect_writes(m, banks, writes, self._arbitrate(m, "write", writes))
        self._report(m, reads + writes)
        return m

    def _banks(self, m: Module) -> list[tuple[Bank, int, int]]:
        """(bank, its number, number of banks) of both memories."""
        banks = []
        for name, size, count in (
            ("scratchpad", self.config.scratchpad_bytes, self.config.scratchpad_banks),
            ("accumulators", self.config.accumulator_bytes, self.config.accumulator_banks),
        ):
            lines = size // self.config.line_bytes // count
            for number in range(count):
                bank = Bank(lines=lines, line_bytes=self.config.line_bytes)
                m.submodules[f"{name}{number}"] = bank
                banks.append((bank, number, count))
        return banks

    def _decode(self, m: Module, port: Port) -> Access:
        access = Access(port, self.config)
        request = getattr(self, port.name).request
        access.decode(m, valid=request.valid, address=request.payload.address,
                      size=request.payload.size)
        return access

    def _arbitrate(self, m: Module, kind: str, accesses: list[Access]) -> list[Signal]:
        """Makes the ports ready; returns for each whether its request goes to the banks."""
        arbiter = BankArbiter(
            ports=len(accesses), banks=len(accesses[0].need),
            never_refused=sum(access.port.never_refused for access in accesses),
        )
        m.submodules[f"{kind}_arbiter"] = arbiter
        taken = []
        for number, access in enumerate(accesses):
            request = getattr(self, access.port.name).request
            go = Signal(name=f"{access.port.name}_go")
            m.d.comb += [
                arbiter.need[number].eq(access.need),
                request.ready.eq(arbiter.grant[number]),
                go.eq(arbiter.grant[number] & (access.need != 0)),
            ]
            taken.append(go)
        return taken

    def _connect_reads(self, m: Module, banks: list[tuple[Bank, int, int]],
                       accesses: list[Access], taken: list[Signal]) -> None:
        for place, (bank, number, count) in enumerate(banks):
            for access, go in zip(accesses, taken, strict=True):
                with m.If(go & access.need[place]):
                    m.d.comb += [
                        bank.read_enable.eq(1), bank.read_line.eq(access.row(number, count)),
                    ]
        for access in accesses:
            port = getattr(self, access.port.name)
            path = ReadPath(access.port, self.config)
            m.submodules[f"{access.port.name}_path"] = path
            m.d.comb += [
                path.accepted.eq(port.request.valid & port.request.ready),
                path.in_accumulators.eq(port.request.payload.address[31]),
                path.odd_first.eq(access.line[0]),
                path.even_pair.eq(access.even_pair), path.odd_pair.eq(access.odd_pair),
                path.offset.eq(access.offset),
                path.lines.as_value().eq(Cat(bank.read_data for bank, _, _ in banks)),
                port.response.valid.eq(path.response.valid),
                port.response.data.eq(path.response.data),
            ]

    def _connect_writes(self, m: Module, banks: list[tuple[Bank, int, int]],
                        accesses: list[Access], taken: list[Signal]) -> None:
        paths = []
        for access in accesses:
            payload = getattr(self, access.port.name).request.payload
            path = WritePath(access.port, self.config)
            m.submodules[f"{access.port.name}_path"] = path
            m.d.comb += [
                path.offset.eq(access.offset), path.size.eq(payload.size),
                path.data.eq(payload.data),
            ]
            paths.append(path)
        for place, (bank, number, count) in enumerate(banks):
            for access, go, path in zip(accesses, taken, paths, strict=True):
                first = access.line[0] == number % 2
                with m.If(go & access.need[place]):
                    m.d.comb += [
                        bank.write_line.eq(access.row(number, count)),
                        bank.write_data.eq(path.line),
                        bank.write_mask.eq(Mux(first, path.mask, path.next_mask)),
                    ]

    def _report(self, m: Module, accesses: list[Access]) -> None:
        m.d.sync += self.fault.valid.eq(Cat(access.fault for access in accesses).any())
        by_engine = sorted(accesses, key=lambda access: access.port.engine)
        # Later assignments win, so the first in order comes last.
        for access in reversed(by_engine):
            address = getattr(self, access.port.name).request.payload.address
            with m.If(access.fault):
                m.d.sync += [
                    self.fault.engine.eq(access.port.engine), self.fault.address.eq(address),
                ]
