"""The stages as a whole: dumps, notes, sources, errors, and what emission saves."""

from pathlib import Path

import pytest

from compiler.errors import CompileError
from compiler.pipeline import Options, compile_module
from hw.config import TINY
from hw.isa.encoding import decode
from hw.isa.program import from_bytes
from hw.isa.sync import Post, Set, Wait
from verif.codegen.executed import executed
from verif.codegen.harness import build
from verif.compiler.models import export, floats, module

ADD = module("    %r = stablehlo.add %a, %a : tensor<4xf32>")


def test_every_stage_is_written_to_disk(tmp_path: Path) -> None:
    program = compile_module(ADD, TINY, Options(dump=tmp_path / "dump"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "dump").iterdir()}
    assert sorted(files) == ["1_input.mlir", "2_fused.mlir", "3_tiles.mlir", "4_program.asm",
                             "5_program.isth"]
    assert b"hlo.fused" in files["2_fused.mlir"]
    assert b"fadd" in files["3_tiles.mlir"]
    assert len(files["4_program.asm"].splitlines()) == len(program.text)
    assert from_bytes(files["5_program.isth"], TINY).text.tolist() == program.text.tolist()


def test_instructions_name_the_line_they_come_from() -> None:
    program = compile_module(ADD, TINY)
    assert program.source_of(len(program.text) - 2).startswith("<input>:3:")


def test_notes_count_products_and_bytes() -> None:
    x, y = floats(5, 7), floats(7, 3)
    program = build(lambda a, b: a @ b, [x, y])
    assert program.notes["macs"] == 5 * 7 * 3
    assert program.notes["dram_bytes"] == 4 * (5 * 7 + 7 * 3 + 5 * 3)


def test_bound_arguments_become_constants() -> None:
    x, y = floats(5), floats(5, seed=1)
    text = export(lambda a, b: a + b, x, y)
    program = compile_module(text, TINY, Options(bind={"arg1": y}))
    assert len(program.inputs) == 1
    assert program.constants[: y.nbytes] == y.tobytes()


def test_unknown_fusion_level_is_refused() -> None:
    with pytest.raises(CompileError, match="none, elementwise, full"):
        compile_module(ADD, TINY, Options(fusion="most"))


def test_parameters_that_hold_already_are_not_written_again() -> None:
    """Sixteen tiles of one loop differ in their addresses only."""
    program = build(lambda x, y: x * y, [floats(64, 256), floats(64, 256, seed=1)])
    decoded = [decode(int(word)) for word in program.text]
    kernels = sum(d.MNEMONIC == "run" for d in decoded)
    assert kernels >= 8
    assert sum(isinstance(d, Set) for d in decoded) <= 100 + 8 * kernels


def test_each_wait_has_its_post() -> None:
    program = build(lambda x: (x + x.T).sum(0), [floats(33, 33)])
    done = executed(program)
    waits, posts = (sorted(dict(d.others)["semaphore"] for d in done if d.mnemonic == mnemonic)
                    for mnemonic in (Wait.MNEMONIC, Post.MNEMONIC))
    assert waits
    assert waits == posts
