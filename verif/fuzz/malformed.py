"""Malformed programs: each is refused or ends; none hangs or writes outside its windows."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.encoding import BY_OPCODE
from hw.isa.program import Program, ProgramError, Tensor, from_bytes
from hw.isa.state import Fault
from sim.rtl import RtlSimulator
from verif.fuzz.lockstep import SIZES, place, simulator
from verif.programs.generator import RESULT_WINDOW, RandomProgram, generate

WATCHDOG_CYCLES = 20_000
GUARD = 0xA5
WRITABLE = (3, RESULT_WINDOW)


def mutate_words(text: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint64]:
    """A copy with 1 to 8 words flipped in a bit, replaced, swapped, or cut off."""
    words = text.copy()
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(len(words)))
        kind = int(rng.integers(5))
        if kind == 0:
            words[at] ^= np.uint64(1 << int(rng.integers(64)))
        elif kind == 1:
            words[at] = rng.integers(0, 2**64, dtype=np.uint64)
        elif kind == 2:
            opcode = rng.choice(sorted(BY_OPCODE))
            words[at] = (words[at] & ~np.uint64(0xFF)) | np.uint64(opcode)
        elif kind == 3:
            other = int(rng.integers(len(words)))
            words[at], words[other] = words[other], words[at]
        elif rng.random() < 0.1:
            words = words[: max(at, 1)]
    return words


def guard(machine: RtlSimulator, program: RandomProgram, text: NDArray[np.uint64]
          ) -> NDArray[np.uint8]:
    """Fills all DRAM the program may not write with a pattern or its content; a copy of it."""
    machine.dram[:] = GUARD
    place(machine, text, program.contents, WRITABLE)
    return machine.dram.copy()


def intact(machine: RtlSimulator, before: NDArray[np.uint8], program: RandomProgram) -> bool:
    """Whether only the writable windows changed."""
    for number in WRITABLE:
        window = machine.memories[number][: len(program.contents[number])]
        start = window.__array_interface__["data"][0] - machine.dram.__array_interface__["data"][0]
        before[start : start + len(window)] = window
    return bool(np.array_equal(before, machine.dram))


def check_streams(config: AcceleratorConfig, seeds: range) -> Counter[str]:
    """Runs a mutated instruction stream per seed; how often each ending came.

    Raises:
        AssertionError: a write outside the windows.
        SimulationError: the machine hung or broke a rule of the bus.
    """
    endings: Counter[str] = Counter()
    with simulator(config, max_cycles=WATCHDOG_CYCLES) as machine:
        for seed in seeds:
            program = generate(config, seed, items=6)
            text = mutate_words(program.text, np.random.default_rng(seed))
            before = guard(machine, program, text)
            try:
                machine.run()
                endings["completed"] += 1
            except Fault as fault:
                endings[fault.cause.name.lower()] += 1
            if not intact(machine, before, program):
                raise AssertionError(f"{config.name}, seed {seed}: wrote outside its windows")
    return endings


def check_files(config: AcceleratorConfig, seeds: range) -> int:
    """Mutates a program file per seed; how many were refused, which must be all.

    Raises:
        AssertionError: a damaged file was accepted.
    """
    sample = generate(config, 0)
    tensor = Tensor("arg0", "f32", (4, 4), 2, 0)
    content = Program(config, sample.text, bytes(100), [tensor], [], SIZES[2]).to_bytes()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), int(rng.integers(1, 6))):
            damaged[position] ^= 1 << int(rng.integers(8))
        if rng.random() < 0.2:
            damaged = damaged[: int(rng.integers(len(damaged)))]
        if bytes(damaged) == content:
            continue
        try:
            from_bytes(bytes(damaged))
        except ProgramError:
            continue
        raise AssertionError(f"seed {seed}: a damaged file was accepted")
    return len(seeds)
