"""Random programs for the sequencer."""

import random
from collections.abc import Callable
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.encoding import INSTRUCTIONS, Instruction, reserved_mask
from hw.isa.host import ACCUMULATOR_BASE
from hw.isa.scalar import ALU, BRANCHES

REGISTERS = 6
"""Few, so that instructions depend on each other."""


def make(mnemonic: str, **fields: int) -> Instruction:
    """An instruction by its mnemonic."""
    cls: Any = INSTRUCTIONS[mnemonic]
    made: Instruction = cls(**fields)
    return made


def program(rng: random.Random, config: AcceleratorConfig, length: int) -> list[int]:
    """Words of a program that may loop for ever, leave its text or end in an error."""
    words = [_instruction(rng, config, at, length) for at in range(length)]
    show = [make("set", engine=1, rs1=r, index=0).encode() for r in range(REGISTERS)]
    return [*words, *show, make("halt").encode()]


def _instruction(rng: random.Random, config: AcceleratorConfig, at: int, length: int) -> int:
    kind = rng.choices(
        ["register", "immediate", "branch", "loop", "memory", "dispatch", "semaphore", "rare"],
        [20, 20, 8, 14, 6, 20, 4, 1])[0]
    made: Instruction | int = _MAKERS[kind](rng, config, at, length)
    return made if isinstance(made, int) else made.encode()


def _x(rng: random.Random) -> int:
    return rng.randrange(REGISTERS)


def _imm(rng: random.Random) -> int:
    return rng.choice([rng.randrange(-4, 5), rng.randrange(-2**31, 2**31)])


def _register(rng: random.Random, *_: object) -> Instruction:
    name = rng.choice(list(ALU))
    return make(name, rd=_x(rng), rs1=_x(rng), rs2=_x(rng))


def _immediate(rng: random.Random, *_: object) -> Instruction:
    name = rng.choice([*ALU, *["add"] * 10]) + "i"
    return make(name, rd=_x(rng), rs1=_x(rng), imm=_imm(rng))


def _branch(rng: random.Random, _: AcceleratorConfig, at: int, length: int) -> Instruction:
    target = rng.randrange(max(0, at - 4), min(length, at + 12) + 1)
    return make(rng.choice(list(BRANCHES)), rs1=_x(rng), rs2=_x(rng), imm=target - at)


def _loop(rng: random.Random, _: AcceleratorConfig, at: int, length: int) -> Instruction:
    body = rng.choice([1, 1, 2, 2, 3, 4, 6, max(length - at - 1, 1)])
    count = rng.choice([0, 1, 1, 2, 2, 3, 4])
    return make("loop", rs1=rng.choice([0] * 15 + [1]), length=body, imm=count)


def _memory(rng: random.Random, config: AcceleratorConfig, *_: object) -> Instruction:
    address = rng.choice([
        4 * rng.randrange(4), 4 * rng.randrange(4), config.scratchpad_bytes - 4,
        ACCUMULATOR_BASE - 2**32 + 4 * rng.randrange(4)])
    if rng.random() < 0.5:
        return make("lds", rd=_x(rng), imm=address)
    return make("sts", rs2=_x(rng), imm=address)


def _dispatch(rng: random.Random, *_: object) -> int:
    name = rng.choice(["ld", "st", "matmul", "loadw", "set", "run", "fadd", "wait", "post"])
    cls = INSTRUCTIONS[name]
    word = cls.OPCODE | rng.getrandbits(56) << 8 & ~reserved_mask(cls)
    if "engine" in cls.FIELDS:
        word = word & ~cls.FIELDS["engine"].mask | rng.randrange(1, 5) << 8
    return word


def _semaphore(rng: random.Random, *_: object) -> Instruction:
    name = rng.choice(["wait", "post"])
    return make(name, engine=0, semaphore=rng.randrange(32), n=rng.randrange(2**16))


def _rare(rng: random.Random, config: AcceleratorConfig, *_: object) -> Instruction | int:
    choices: list[Instruction | int] = [
        make("halt"), make("drain", mask=rng.getrandbits(5)),
        make("trap", rs1=_x(rng), imm=_imm(rng)), make("nop"),
        make("lds", rd=1, rs1=_x(rng)), make("sts", rs1=_x(rng), imm=2),
        make("sts", imm=config.scratchpad_bytes), make("loop", imm=1),
        rng.getrandbits(64), rng.getrandbits(64) & 0xFF,
        make("beq", imm=rng.choice([2**20, 2**29, -1000])),
    ]
    return rng.choice(choices)


_MAKERS: dict[str, Callable[[random.Random, AcceleratorConfig, int, int], Instruction | int]] = {
    "register": _register, "immediate": _immediate, "branch": _branch, "loop": _loop,
    "memory": _memory, "dispatch": _dispatch, "semaphore": _semaphore, "rare": _rare,
}
