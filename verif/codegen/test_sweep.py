"""Sweeps: the loops the sequencer runs give the tiles that were asked for, in their order."""

from math import prod

import ml_dtypes
import numpy as np
import pytest
from xdsl.ir import Block, Region

from compiler.codegen.commands import Command
from compiler.codegen.contraction_sweep import Form, Line, Tile, runs, sweep
from compiler.codegen.emit import Emitter
from compiler.codegen.tile import ProgramOp, append
from compiler.errors import Location
from compiler.pipeline import Options, compile_module
from hw.config import load
from hw.isa.encoding import Instruction, decode
from hw.isa.program import Program
from hw.isa.state import MASK32, MachineState
from sim import model
from verif.codegen.harness import execute

DEFAULT = load("default")
START = Tile(4096, 512, 7, Form(16, 16, 128, False, ((1, 0, 1),), False, True))


def text_of(commands: list[Command]) -> list[Instruction]:
    block = Block()
    for command in commands:
        append(block, command)
    return [decode(w) for w in Emitter(64).program(ProgramOp(Region(block))).words]


def dispatched(commands: list[Command]) -> list[tuple[str, int, int]]:
    """(mnemonic, a, b) of the matrix unit's work, as the sequencer dispatches it."""
    text = text_of(commands)
    state, found = MachineState(DEFAULT), []
    while text[state.pc].MNEMONIC != "halt":
        op = text[state.pc]
        a = (state.x[getattr(op, "rs1", 0)] + getattr(op, "imm", 0)) & MASK32
        b = state.x[getattr(op, "rs2", 0)]
        if op.MNEMONIC in ("set", "loadw", "matmul"):
            if op.MNEMONIC != "set":
                found.append((op.MNEMONIC, a, b))
            state.advance()
        else:
            op.execute(state, a, b)
    return found


@pytest.mark.parametrize("outer", [Line(1), Line(3, 2048, 32), Line(50, 2048, 32)])
@pytest.mark.parametrize("inner", [Line(1), Line(4, 32, 0, 1), Line(9, -64, 32),
                                   Line(150, 32, 0, 2)])
def test_every_tile_once_and_in_order(outer: Line, inner: Line) -> None:
    tiles = [START.at(outer, i).at(inner, j)
             for i in range(outer.length) for j in range(inner.length)]
    expected = [entry for t in tiles
                for entry in (("loadw", t.weights, 0), ("matmul", t.activations, t.row))]
    commands = list(sweep(DEFAULT, START, outer, inner, Location()))
    assert dispatched(commands) == expected
    assert sum(c.entries for c in commands) == 2 * len(tiles)
    assert max(prod(c.repeat.counts) if c.repeat else 1 for c in commands) <= 64


def test_moving_registers_are_set_once() -> None:
    """Addresses count from what a register holds after the sweep before; only the row, which has
    no immediate, is set again."""
    outer, inner = Line(3, 2048, 32), Line(4, 32, 0, 1)
    starts = [START.at(Line(9, 8192, 4096, 4), n) for n in range(9)]
    commands = [c for start in starts for c in sweep(DEFAULT, start, outer, inner, Location())]
    assert len(commands) == 9
    assert dispatched(commands) == [entry for start in starts
                                    for entry in dispatched(list(sweep(
                                        DEFAULT, start, outer, inner, Location())))]
    sets = [op for op in text_of(commands) if op.MNEMONIC == "addi" and op.value("rs1") == 0]
    assert len(sets) == 2 + 9


def test_intervals_cover_every_tile() -> None:
    outer, inner = Line(2, 2048, 32), Line(4, 32, 0, 3)
    (command,) = sweep(DEFAULT, START, outer, inner, Location())
    weights, activations, rows = command.reads
    assert weights == (8, 4096, 4096 + 2048 + 15 * 128 + 3 * 32 + 32)
    assert activations == (8, 512, 512 + 32 + 32)
    assert command.writes == (rows,)
    assert (rows[2] - rows[1]) // DEFAULT.accumulator_row_bytes == 10


def test_runs_end_where_key_or_step_changes() -> None:
    values = [(0, 0), (2, 1), (4, 2), (9, 3), (14, 4), (19, 5)]
    assert runs("aaaaab", values) == [(0, 3, (2, 1)), (3, 2, (5, 1)), (5, 1, (0, 0))]


def bound_dot(rows: int, k: int, columns: int) -> Program:
    x, w, y = (f"tensor<{a}x{b}x{t}>" for a, b, t in
               ((rows, k, "bf16"), (k, columns, "bf16"), (rows, columns, "f32")))
    module = f"""func.func public @main(%x: {x}, %w: {w}) -> {y} {{
      %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] : ({x}, {w}) -> {y}
      return %y : {y} }}"""
    weights = np.random.default_rng(0).standard_normal((k, columns)).astype(ml_dtypes.bfloat16)
    return compile_module(module, DEFAULT, Options(bind={"arg1": weights}))


@pytest.mark.parametrize("k, columns", [(768, 3072), (3072, 768), (768, 768), (768, 5003)])
def test_weights_used_once_come_as_fast_as_the_bus_brings_them(k: int, columns: int) -> None:
    program = bound_dot(1, k, columns)
    limit = program.notes["dram_bytes"] / DEFAULT.bus_bytes
    assert limit / model.run(program).cycles >= 0.95
    tiles = -(-k // 16) * -(-columns // 16)
    assert len(program.text) <= tiles / 2 + 500


DOTS = {
    "ragged": ("[1] x [0]", (7, 37), (37, 53), (7, 53)),
    "k last": ("[1] x [1]", (1, 64), (200, 64), (1, 200)),
    "two k": ("[1, 2] x [2, 0]", (5, 3, 20), (20, 70, 3), (5, 70)),
    "two columns": ("[1] x [1]", (2, 40), (6, 40, 11), (2, 6, 11)),
    "batch": ("[2] x [1]", (3, 4, 33), (3, 33, 35), (3, 4, 35)),
    "one column": ("[1] x [0]", (9, 37), (37, 1), (9, 1)),
}


@pytest.mark.parametrize("dtype", ["bf16", "f32", "i8"])
@pytest.mark.parametrize("name", DOTS)
def test_bound_weights_give_the_bits_of_weights_that_are_passed(
        name: str, dtype: str, rng: np.random.Generator) -> None:
    dims, *shapes = DOTS[name]
    result = "i32" if dtype == "i8" else "f32"
    x, w = (f"tensor<{'x'.join(map(str, s))}x{dtype}>" for s in shapes[:2])
    y = f"tensor<{'x'.join(map(str, shapes[2]))}x{result}>"
    batch = "batching_dims = [0] x [0], " if name == "batch" else ""
    module = f"""func.func public @main(%x: {x}, %w: {w}) -> {y} {{
      %y = stablehlo.dot_general %x, %w, {batch}contracting_dims = {dims} : ({x}, {w}) -> {y}
      return %y : {y} }}"""
    kind = {"bf16": ml_dtypes.bfloat16, "f32": np.float32, "i8": np.int8}[dtype]
    data = [(rng.standard_normal(shape) * 50).astype(kind) for shape in shapes[:2]]
    config = load("tiny")
    passed = execute(compile_module(module, config), data)
    bound = execute(compile_module(module, config, Options(bind={"arg1": data[1]})), data[:1])
    np.testing.assert_array_equal(bound[0], passed[0])
