"""The accelerator: host block, sequencer, engines and local memory, joined."""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.bus import ReadArbiter
from hw.core.dma.load_dma import LoadDma
from hw.core.dma.store_dma import StoreDma
from hw.core.host.host import HostBlock
from hw.core.matrix.unit import MatrixUnit
from hw.core.memory.local_memory import LocalMemory
from hw.core.sequencer.queue import CommandQueue
from hw.core.sequencer.semaphores import Semaphores
from hw.core.sequencer.sequencer import Sequencer
from hw.core.vector.unit import VectorUnit
from hw.isa.host import Cause, Engine
from hw.isa.program import TEXT_WINDOW


class Accelerator(wiring.Component):
    """One machine. One clock, that of domain `sync`; its reset is synchronous.

    Members:
        host: AXI4-Lite subordinate, registers of `hw.isa.host.Csr`.
        read, write: AXI4 manager, incrementing bursts of full-width beats, one ID.
        interrupt: level.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "host": In(interfaces.axi_lite()),
            "read": Out(interfaces.axi_read(config)),
            "write": Out(interfaces.axi_write(config)),
            "interrupt": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.host = host = HostBlock(config)
        memory, sequencer, semaphores = LocalMemory(config), Sequencer(config), Semaphores()
        load, store = LoadDma(config), StoreDma(config)
        matrix, vector = MatrixUnit(config), VectorUnit(config)
        arbiter = ReadArbiter(config)
        engines = {Engine.LOAD: load, Engine.STORE: store,
                   Engine.MATRIX: matrix, Engine.VECTOR: vector}
        queues = {engine: CommandQueue(config) for engine in engines}
        restarted = {
            "memory": memory, "sequencer": sequencer, "semaphores": semaphores,
            "arbiter": arbiter,
            **{f"{engine.name.lower()}_engine": part for engine, part in engines.items()},
            **{f"{engine.name.lower()}_queue": queue for engine, queue in queues.items()},
        }
        # The host block keeps all the others in reset while nothing runs, so only it needs the
        # machine's reset. Without that input their logic is also simulated faster.
        m.domains.engines = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal("engines").eq(ClockSignal())
        for name, part in restarted.items():
            m.submodules[name] = DomainRenamer("engines")(ResetInserter(host.reset)(part))
        self._connect_host(m, host, sequencer)
        self._connect_bus(m, host, arbiter, sequencer, load, store)
        self._connect_memory(m, memory, sequencer, engines)
        self._connect_queues(m, host, sequencer, semaphores, engines, queues)
        self._connect_faults(m, host, memory, semaphores, {Engine.SEQUENCER: sequencer, **engines})
        return m

    def _connect_host(self, m: Module, host: HostBlock, sequencer: Sequencer) -> None:
        connect(m, flipped(self.host), host.bus)
        m.d.comb += [
            self.interrupt.eq(host.interrupt),
            sequencer.entry.eq(host.entry),
            sequencer.window.eq(host.windows[TEXT_WINDOW]),
            sequencer.stop.eq(host.stop),
            host.halted.eq(sequencer.halted),
            host.pc.eq(sequencer.pc),
            host.activities[Engine.SEQUENCER].eq(sequencer.activity),
        ]

    def _connect_bus(self, m: Module, host: HostBlock, arbiter: ReadArbiter, sequencer: Sequencer,
                     load: LoadDma, store: StoreDma) -> None:
        connect(m, sequencer.bus, arbiter.fetch)
        connect(m, load.axi, arbiter.load)
        connect(m, arbiter.bus, flipped(self.read))
        connect(m, store.axi, flipped(self.write))
        m.d.comb += [
            load.windows.eq(host.windows), store.windows.eq(host.windows),
            host.quiet.eq(arbiter.quiet & store.quiet & ~self.write.aw.valid),
        ]

    def _connect_memory(self, m: Module, memory: LocalMemory, sequencer: Sequencer,
                        engines: dict[Engine, wiring.Component]) -> None:
        load, store, matrix, vector = engines.values()
        users = {
            "scalar_read": (sequencer, "scalar_read"), "scalar_write": (sequencer, "scalar_write"),
            "load": (load, "write"), "load_index": (load, "index"),
            "store": (store, "read"), "store_index": (store, "index"),
            "activations": (matrix, "activations"), "weights": (matrix, "weights"),
            "matrix_read": (matrix, "acc_read"), "matrix_write": (matrix, "acc_write"),
            **{f"stream{i}": (vector, f"stream{i}") for i in range(4)},
            **{f"stream_out{i}": (vector, f"stream_out{i}") for i in range(2)},
        }
        for port, (part, name) in users.items():
            connect(m, getattr(part, name), getattr(memory, port))

    def _connect_queues(self, m: Module, host: HostBlock, sequencer: Sequencer,
                        semaphores: Semaphores, engines: dict[Engine, wiring.Component],
                        queues: dict[Engine, CommandQueue]) -> None:
        connect(m, sequencer.waits, semaphores.waits[Engine.SEQUENCER])
        connect(m, sequencer.posts, semaphores.posts[Engine.SEQUENCER])
        for number, (engine, queue) in enumerate(queues.items()):
            part = engines[engine]
            connect(m, sequencer.commands[number], queue.input)
            connect(m, queue.commands, part.commands)
            connect(m, queue.waits, semaphores.waits[engine])
            connect(m, queue.posts, semaphores.posts[engine])
            m.d.comb += [
                queue.retire.eq(part.retire),
                queue.engine_activity.eq(part.activity),
                queue.stop.eq(host.stop), part.stop.eq(host.stop),
                sequencer.idle[number].eq(queue.idle),
                host.activities[engine].eq(queue.activity),
            ]

    def _connect_faults(self, m: Module, host: HostBlock, memory: LocalMemory,
                        semaphores: Semaphores, engines: dict[Engine, wiring.Component]) -> None:
        """An engine's own fault, else what the memory or the semaphores found in its doing."""
        found, overflow = memory.fault, semaphores.overflow
        for engine, part in engines.items():
            slot = host.faults[engine]
            by_memory = found.valid & (found.engine == engine)
            by_semaphores = overflow.valid & (overflow.engine == engine)
            m.d.comb += slot.valid.eq(part.fault.valid | by_memory | by_semaphores)
            with m.If(part.fault.valid):
                m.d.comb += slot.fault.eq(part.fault.payload)
            with m.Elif(by_memory):
                m.d.comb += [slot.fault.cause.eq(Cause.LOCAL), slot.fault.address.eq(found.address)]
            with m.Else():
                m.d.comb += [
                    slot.fault.cause.eq(Cause.SEMAPHORE),
                    slot.fault.address.eq(overflow.semaphore),
                ]
