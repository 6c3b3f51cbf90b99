"""Random programs that use every instruction and engine, free of races and of errors.

A program fills its part of local memory from DRAM, runs random commands of all
engines on it, and stores everything observable (local memory, vector registers,
scalar registers) to DRAM, where two machines' results are compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.asm import encode
from hw.isa.encoding import INSTRUCTIONS, Instruction, make
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.scalar import ALU, BRANCHES
from hw.isa.state import Window
from hw.isa.sync import Set
from verif.programs.engines import DmaMaker, MatrixMaker
from verif.programs.kernels import KernelMaker
from verif.programs.order import Order, Span

DATA_WINDOW, MIXED_WINDOW, RESULT_WINDOW = 2, 3, 4
WINDOW_BYTES = 8192
LOCAL_BYTES = 4096
"""How much of the scratchpad, from its start, the programs use."""
DATA_REGISTERS = range(1, 16)
ADDRESS_REGISTERS = range(16, 32)


@dataclass(frozen=True)
class RandomProgram:
    """A program and the DRAM it starts with."""

    seed: int
    text: NDArray[np.uint64]
    contents: dict[int, NDArray[np.uint8]]

    def windows(self) -> dict[int, Window]:
        """Fresh windows: 2 read-only data, 3 read and written, 4 results."""
        return {number: Window(data.copy(), readable=True, writable=number != DATA_WINDOW)
                for number, data in self.contents.items()}


class Maker:
    """Collects the instructions of one program."""

    def __init__(self, config: AcceleratorConfig, seed: int) -> None:
        self.config, self.rng = config, np.random.default_rng(seed)
        self.program: list[Instruction] = []
        self.order = Order(self.rng, self.program)
        self.local_bytes = min(LOCAL_BYTES, config.scratchpad_bytes)
        self.accumulator_bytes = min(LOCAL_BYTES // 2, config.accumulator_bytes)
        self._known: dict[tuple[int, int], int] = {}

    def integer(self, low: int, high: int) -> int:
        """Uniform in low..high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choice(self, options: list[int]) -> int:
        return int(options[self.integer(0, len(options) - 1)])

    def emit(self, mnemonic: str, **fields: int) -> None:
        self.program.append(make(mnemonic, **fields))

    def set(self, engine: Engine, index: int, value: int) -> None:
        """Sets a parameter, now and then through a register, unless it has the value already."""
        value &= 0xFFFFFFFF
        if self._known.get((engine, index)) == value and self.chance(0.8):
            return
        self._known[engine, index] = value
        register = 0
        if self.chance(0.2):
            register = self.address_register(self.integer(0, 1 << 20))
            value -= self._last
        self.program.append(Set(engine=engine, index=index, rs1=register, imm=_signed(value)))

    def address_register(self, value: int) -> int:
        """Loads a value into one of the address registers."""
        register = self.choice(list(ADDRESS_REGISTERS))
        self.emit("addi", rd=register, imm=_signed(value))
        self._last = value
        return register

    def command(self, mnemonic: str, engine: Engine, a: int, b: int, spans: tuple[Span, ...],
                **fields: int) -> None:
        """A work command with operands a and b, ordered after what it depends on."""
        self.order.before(engine, spans)
        fields_of = INSTRUCTIONS[mnemonic].FIELDS
        if "rs2" in fields_of:
            fields["rs2"] = self.address_register(b)
        self.emit(mnemonic, imm=_signed(a), **fields)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def generate(config: AcceleratorConfig, seed: int, items: int = 12) -> RandomProgram:
    """A random program of about `items` pieces of work, the same for the same seed."""
    maker = Maker(config, seed)
    dma, matrix, kernels = DmaMaker(maker), MatrixMaker(maker), KernelMaker(maker)
    dma.fill_scratchpad(DATA_WINDOW)
    kernels.fill_accumulators()
    kernels.fill_registers()
    makers: list[Callable[[], None]] = [dma.load, dma.store, matrix.product, kernels.random,
                                        lambda: _scalar(maker)]
    for _ in range(items):
        makers[maker.integer(0, len(makers) - 1)]()
    _finish(maker, dma, kernels)
    contents = {number: _data(maker.rng) for number in (DATA_WINDOW, MIXED_WINDOW)}
    size = maker.local_bytes + maker.accumulator_bytes + 4096
    contents[RESULT_WINDOW] = np.zeros(size, np.uint8)
    return RandomProgram(seed, np.array(encode(maker.program), np.uint64), contents)


def _finish(maker: Maker, dma: DmaMaker, kernels: KernelMaker) -> None:
    dma.dump(0, maker.local_bytes, RESULT_WINDOW, 0)
    dma.dump(ACCUMULATOR_BASE, maker.accumulator_bytes, RESULT_WINDOW, maker.local_bytes)
    at = maker.local_bytes + maker.accumulator_bytes
    kernels.dump_registers(0)
    for register in DATA_REGISTERS:
        maker.order.before(Engine.SEQUENCER, (Span("local", 2048, 2048 + 64, True),))
        maker.emit("sts", rs2=register, imm=2048 + 4 * register)
    dma.dump(0, 4096, RESULT_WINDOW, at)
    maker.emit("halt")


def _data(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A quarter each of moderate fp32, moderate bf16, small integers and raw bits."""
    quarter = WINDOW_BYTES // 4
    f32 = (rng.standard_normal(quarter // 4) * 4).astype(np.float32)
    bf16 = (rng.standard_normal(quarter // 2).astype(np.float32).view(np.uint32) >> 16)
    small = rng.integers(-40, 40, quarter // 4, dtype=np.int32)
    raw = rng.integers(0, 256, quarter, dtype=np.uint8)
    parts = [f32.view(np.uint8), bf16.astype(np.uint16).view(np.uint8), small.view(np.uint8), raw]
    return np.concatenate([parts[i] for i in rng.permutation(4)])


def _scalar(maker: Maker) -> None:
    """Scalar arithmetic, a scalar access, a loop or a forward branch."""
    kind = maker.integer(0, 3)
    if kind == 0:
        address = 4 * maker.integer(0, maker.local_bytes // 4 - 1)
        store = maker.chance(0.5)
        maker.order.before(Engine.SEQUENCER, (Span("local", address, address + 3, store),))
        register = maker.choice(list(DATA_REGISTERS))
        if store:
            maker.emit("sts", rs2=register, imm=address)
        else:
            maker.emit("lds", rd=register, imm=address)
    length = maker.integer(1, 6)
    if kind == 1:
        maker.emit("loop", length=length + 2, imm=maker.integer(0, 3))
        inner = maker.integer(1, length)
        _arithmetic(maker)
        maker.emit("loop", length=inner, imm=maker.integer(0, 2))
    elif kind == 2:
        name = list(BRANCHES)[maker.integer(0, len(BRANCHES) - 1)]
        maker.emit(name, rs1=maker.choice(list(DATA_REGISTERS)),
                   rs2=maker.choice(list(DATA_REGISTERS)), imm=maker.integer(1, length))
    for _ in range(length):
        _arithmetic(maker)


def _arithmetic(maker: Maker) -> None:
    name = list(ALU)[maker.integer(0, len(ALU) - 1)]
    rd, rs1 = (maker.choice(list(DATA_REGISTERS)) for _ in range(2))
    if maker.chance(0.5):
        value = maker.integer(-(2**31), 2**31 - 1) >> maker.integer(0, 31)
        maker.emit(name + "i", rd=rd, rs1=rs1, imm=value)
    else:
        maker.emit(name, rd=rd, rs1=rs1, rs2=maker.choice(list(DATA_REGISTERS)))
