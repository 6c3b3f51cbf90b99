"""The passes from StableHLO to a program, in order, and what `--dump` writes after each stage."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from xdsl.ir import Block, Operation
from xdsl.printer import Printer

from compiler.codegen.context import Place
from compiler.codegen.emit import Emitter, Text
from compiler.codegen.interface import Donation
from compiler.codegen.lower import Lowered, lower
from compiler.errors import CompileError, Location
from compiler.frontend.load import Model, load
from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp, main_function
from compiler.ops.contraction import products_summed
from compiler.ops.registry import NdArray
from compiler.passes import LEVELS, optimise
from compiler.passes.unroll import BUDGET
from hw.config import AcceleratorConfig
from hw.isa.asm import disassemble
from hw.isa.encoding import decode
from hw.isa.program import Program, Tensor

MOVED = frozenset(("concatenate", "pad", "slice"))
"""Operations that passes put in front of others."""
IN_MEMORY = "<input>"
"""Name of a module that is not in a file."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Choices of the user.

    Attributes:
        fusion: `none`, `elementwise` or `full`.
        bind: arrays for arguments, under their names or `arg0`, `arg1`, ...
        fast_math: rewrites that change rounding are allowed.
        narrow_64: 64-bit types become 32-bit ones.
        dump: directory for the stages; nothing is written when None.
        explain: the program's notes list the groups with their estimated cycles, and each fusion
            that was possible and refused.
        unroll_budget: operations a loop may become when it is unrolled.
        verify: check the types of what the passes have made, a twentieth of the time, so only
            where the environment has ISTHMUS_VERIFY, as it has in the tests.
    """

    fusion: str = "full"
    bind: Mapping[str, NdArray] = field(default_factory=dict)
    fast_math: bool = False
    narrow_64: bool = False
    dump: Path | None = None
    explain: bool = False
    unroll_budget: int = BUDGET
    verify: bool = field(default_factory=lambda: "ISTHMUS_VERIFY" in os.environ)


def compile_module(module: str | bytes, config: AcceleratorConfig, options: Options | None = None,
                   name: str = IN_MEMORY) -> Program:
    """Compiles a StableHLO module for a machine.

    Args:
        module: text, MLIR bytecode or portable artifact.
        name: path it was read from, for error messages.

    Raises:
        CompileError: the module cannot be compiled; says where, why and what to do.
        OSError: the dump cannot be written.
    """
    options = options or Options()
    if options.fusion not in LEVELS:
        raise CompileError(f"fusion {options.fusion!r}: use one of {', '.join(LEVELS)}")
    source = module if name == IN_MEMORY else Path(name)
    model = load(source, bind=options.bind, narrow_64=options.narrow_64)
    _dump(options, "1_input.mlir", model.module)
    refused = optimise(model.module, fusion=options.fusion, relaxed=options.fast_math,
                       scratchpad_bytes=config.scratchpad_bytes,
                       accumulator_bytes=config.accumulator_bytes,
                       array_cols=config.array_cols, unroll_budget=options.unroll_budget,
                       verify=options.verify)
    _dump(options, "2_fused.mlir", model.module)
    lowered = lower(main_function(model.module), config, _donated(model),
                    on_chip=options.fusion == "full", explain=options.explain)
    _dump(options, "3_tiles.mlir", lowered.program)
    text = Emitter(config.queue_depth).program(lowered.program)
    program = _program(config, model, lowered, text)
    if options.explain:
        program.notes.update(fusion=list(lowered.explained), refused=list(refused))
    _dump_program(options, program)
    return program


def _donated(model: Model) -> list[Donation]:
    return [Donation(number, argument.alias) for number, argument in enumerate(model.arguments)
            if argument.donated]


def _program(config: AcceleratorConfig, model: Model, lowered: Lowered, text: Text) -> Program:
    inputs = [_tensor(place, argument.name)
              for place, argument in zip(lowered.inputs, model.arguments, strict=True)]
    outputs = [_tensor(place, result_name)
               for place, result_name in zip(lowered.outputs, model.result_names, strict=True)]
    # A result in the place of a donated argument counts once, as what is read.
    tensors = {(t.window, t.offset): t.nbytes for t in (*inputs, *outputs)}
    moved = sum(tensors.values()) + len(lowered.constants)
    memory = {"workspace_bytes": lowered.workspace_bytes,
              "lower_bound_bytes": lowered.workspace_bound}
    notes: dict[str, Any] = {"macs": _macs(model), "dram_bytes": moved, "memory": memory}
    notes["operations"] = _operations(model)
    if model.narrowed:
        notes["narrowed"] = list(model.narrowed)
    return Program(config, np.array(text.words, np.uint64), lowered.constants, inputs, outputs,
                   lowered.input_bytes, lowered.output_bytes, lowered.workspace_bytes,
                   _sources(text.sources), notes)


def _tensor(place: Place, name: str) -> Tensor:
    tensor = place.tensor
    return Tensor(name, str(tensor.element), tensor.shape, place.window, place.offset)


def _sources(sources: Sequence[tuple[int, Location]]) -> list[tuple[int, str]]:
    """Runs of instructions of one origin: (first instruction, description)."""
    runs: list[tuple[int, str]] = []
    for pc, location in sources:
        description = str(location)
        if not runs or runs[-1][1] != description:
            runs.append((pc, description))
    return runs


def _working(block: Block) -> Iterator[HloOp]:
    """The operations of a block and of those nested in it, groups as wholes."""
    for op in block.ops:
        if isinstance(op, HloOp):
            yield op
            for region in op.regions if op.kind != "fused" else ():
                yield from _working(region.block)


def _members(group: HloOp) -> list[HloOp]:
    """The operations of a group; an operation that is none is alone."""
    inside = group.bodies[0].ops if group.kind == "fused" else [group]
    return [op for op in inside if isinstance(op, HloOp)]


def _operations(model: Model) -> dict[str, list[str]]:
    """What was compiled at each place, by its description: the operation at that place first, then
    those fused with it, and what only puts its operands together; of groups that are alike, as the
    bands of a chain, one. Names for the profiler."""
    found: dict[str, dict[tuple[str, ...], None]] = {}
    for group in _working(main_function(model.module).body.block):
        members = [(op.source == group.source, op.kind) for op in _members(group)
                   if op.kind not in ("constant", "return")]
        if members:
            kinds = tuple(kind for here in (True, False) for at, kind in members if at is here)
            found.setdefault(str(group.source), {}).setdefault(kinds)
    return {place: [kind for kinds in sorted(groups, key=MOVED.issuperset) for kind in kinds]
            for place, groups in found.items()}


def _macs(model: Model) -> int:
    """Multiply-accumulates of all contractions; those of a loop's body count once."""
    total = 0
    for group in _working(main_function(model.module).body.block):
        for op in _members(group):
            if is_contraction(op):
                total += len(op.results) * op.tensor.size * products_summed(op.call)
    return total


def _dump(options: Options, name: str, op: Operation) -> None:
    if options.dump is None:
        return
    stream = io.StringIO()
    Printer(stream).print_op(op)
    options.dump.mkdir(parents=True, exist_ok=True)
    (options.dump / name).write_text(stream.getvalue() + "\n")


def _dump_program(options: Options, program: Program) -> None:
    if options.dump is None:
        return
    lines = [disassemble(decode(int(word))) for word in program.text]
    (options.dump / "4_program.asm").write_text("\n".join(lines) + "\n")
    program.save(options.dump / "5_program.isth")
