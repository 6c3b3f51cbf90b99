"""Random transfers, checked against the golden model so that a test knows what to expect."""

import copy
import random
from dataclasses import dataclass

import numpy as np

from hw.config import AcceleratorConfig
from hw.isa.dma import CONVERSIONS, DmaForm
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction
from hw.isa.host import ACCUMULATOR_BASE, WINDOWS, Cause, Engine
from hw.isa.params import LEVELS, DmaParam
from hw.isa.state import Fault, MachineState, Window
from hw.isa.sync import Set

WINDOW_BYTES = 8192
INDEX_ENTRIES = 16


@dataclass
class Transfer:
    """A work instruction, its operands and the parameters to set before it."""

    instruction: DmaForm
    dram: int
    local: int
    parameters: dict[DmaParam, int]

    def commands(self) -> list[dict[str, int]]:
        engine = self.instruction.target
        sets: list[tuple[Instruction, int, int]] = [
            (Set(engine=engine, rs1=0, index=index, imm=0), value, 0)
            for index, value in self.parameters.items()
        ]
        work = (self.instruction, self.dram, self.local)
        return [{"word": i.encode(), "a": a, "b": b} for i, a, b in [*sets, work]]

    def execute(self, machine: MachineState) -> None:
        """On the golden model.

        Raises:
            Fault: the transfer is bad.
        """
        engine = self.instruction.target
        for index, value in self.parameters.items():
            machine.params[engine][index] = value & 0xFFFFFFFF
        self.instruction.execute(machine, self.dram & 0xFFFFFFFF, self.local & 0xFFFFFFFF)


def machine(config: AcceleratorConfig) -> tuple[MachineState, list[int]]:
    """A machine with random memories, and the bus addresses of its windows.

    Window 0 may only be read, window 1 only be written, and 7 has not been granted. The index
    lists lie at the end of the scratchpad and of the accumulators.
    """
    rng = np.random.default_rng(random.getrandbits(32))
    state = MachineState(config)
    bases = []
    for number in range(WINDOWS - 1):
        size = WINDOW_BYTES - random.randint(0, 40)
        state.windows[number] = Window(
            rng.integers(0, 256, size, np.uint8),
            readable=number != 1, writable=number != 0)
        bases.append((number + 1) * 0x1_0000_1000 + 64 * random.randint(0, 63))
    state.local.data[:] = rng.integers(0, 256, len(state.local.data), np.uint8)
    words = state.local.data.view(np.int32)
    for end in (config.scratchpad_bytes // 4, len(words)):
        words[end - INDEX_ENTRIES : end] = rng.integers(-2, 40, INDEX_ENTRIES)
    return state, [*bases, 0]


def random_types() -> tuple[DType, DType]:
    if random.random() < 0.4:
        return random.choice(sorted(CONVERSIONS))
    dtype = DType(random.randrange(DType.ADDR))
    return dtype, dtype


def random_transfer(form: type[DmaForm], config: AcceleratorConfig) -> Transfer:
    """Aligned, and small enough to be right more often than not."""
    dram_type, local_type = random_types()
    store = form.ENGINE is Engine.STORE
    bounds = [random.choice((1, 1, random.randint(0, 5))) for _ in range(LEVELS)]
    long = WINDOW_BYTES // dram_type.size if bounds.count(1) == LEVELS else 200
    n0 = random.choice((random.randint(0, 9), random.randint(0, long)))
    indexed = random.random() < 0.3
    p = {DmaParam.N0: n0, DmaParam.PAD: random.getrandbits(32)}
    for level, bound in enumerate([n0, *bounds]):
        inside = random.random() < 0.6
        p[DmaParam(DmaParam.LO0 + level)] = 0 if inside else random.randint(0, bound)
        p[DmaParam(DmaParam.HI0 + level)] = (
            0xFFFFFFFF if inside else random.randint(0, bound + 1))
    for level, bound in enumerate(bounds):
        p[DmaParam(DmaParam.BOUND1 + level)] = bound
        p[DmaParam(DmaParam.DSTRIDE1 + level)] = dram_type.size * random.randint(-30, 60)
        p[DmaParam(DmaParam.LSTRIDE1 + level)] = local_type.size * random.randint(-10, 90)
    in_accumulators = store and random.random() < 0.3
    memory = config.accumulator_bytes if in_accumulators else config.scratchpad_bytes
    list_end = random.choice((config.scratchpad_bytes,
                              ACCUMULATOR_BASE + config.accumulator_bytes))
    # A list that is never looked at may start anywhere.
    p[DmaParam.INDEX_BASE] = list_end - 4 * INDEX_ENTRIES + 2 * (bounds[0] == 0)
    dram = dram_type.size * random.randint(0, WINDOW_BYTES // dram_type.size - 1)
    local = local_type.size * random.randint(0, memory // local_type.size - 1)
    return Transfer(
        form(window=random.randint(2, 6), dram_type=dram_type, local_type=local_type,
             indexed=int(indexed)),
        dram, local + ACCUMULATOR_BASE * in_accumulators, p)


def same_lists(before: MachineState, after: MachineState) -> bool:
    """Whether the index lists, which later transfers use, have not been written."""
    size = before.config.scratchpad_bytes
    place = slice(size - 4 * INDEX_ENTRIES, size)
    return np.array_equal(before.local.data[place], after.local.data[place])


def good_transfers(form: type[DmaForm], state: MachineState, count: int) -> list[Transfer]:
    """Transfers without a fault; `state` becomes what they leave behind."""
    transfers: list[Transfer] = []
    while len(transfers) < count:
        transfer = random_transfer(form, state.config)
        trial = copy.deepcopy(state)
        try:
            transfer.execute(trial)
        except Fault:
            continue
        if same_lists(state, trial):
            transfer.execute(state)
            transfers.append(transfer)
    return transfers


def bad_transfer(form: type[DmaForm], state: MachineState) -> tuple[Transfer, Cause]:
    """A transfer with a fault, and its cause."""
    while True:
        transfer = random_transfer(form, state.config)
        kind = random.choice(("window", "rights", "misaligned", "local", "types", "index"))
        _spoil(transfer, kind, form)
        try:
            transfer.execute(copy.deepcopy(state))
        except Fault as fault:
            return transfer, fault.cause


def _spoil(transfer: Transfer, kind: str, form: type[DmaForm]) -> None:
    instruction = transfer.instruction
    fields = {name: getattr(instruction, name) for name in form.FIELDS}
    if kind == "window":
        transfer.dram = random.choice((WINDOW_BYTES - 64, 0xFFFFFFF0, 0x80000000))
    elif kind == "rights":
        fields["window"] = random.choice((7, 1 if form.ENGINE is Engine.LOAD else 0))
    elif kind == "misaligned":
        if random.random() < 0.5:
            transfer.dram += 1
        else:
            transfer.local += 1
    elif kind == "local":
        transfer.local = random.choice((0x40000000, 0xC0000000, 0xFFFFFFF0))
    elif kind == "types":
        fields["dram_type"] = random.choice((8, 15))
    else:
        fields["indexed"] = 1
        transfer.parameters[DmaParam.INDEX_BASE] += 2
    transfer.instruction = form(**fields)
