"""Left factors that stay for the next product, as far as they fit.

Products of one value by several matrices follow each other: to queries, keys and values, for
example. Each keeps as many of the factor's last slabs as there is room for while it goes through
its columns. The next product finds them in their places and loads none of them again, when it goes
through the factor in the same slabs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Block, Operation

from compiler.codegen.contraction_prepare import scheme
from compiler.ir.loops import Contraction, Load, Loop, analyse
from compiler.ir.ops import HloOp, is_constant
from compiler.ir.types import tensor_of
from hw.config import AcceleratorConfig

SMALL = 32
"""Groups between two readers must not touch more than this part of the scratchpad, as divisor."""


@dataclass(frozen=True)
class Run:
    """Neighbouring groups that read one factor.

    Attributes:
        readers: positions in the block, ascending.
    """

    factor: Load
    readers: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.readers[0]

    @property
    def last(self) -> int:
        return self.readers[-1]


def runs_of(operations: Sequence[Operation], config: AcceleratorConfig) -> list[Run]:
    """The runs of a block's operations with more than one reader."""
    runs: list[Run] = []
    open_run: Run | None = None
    for number, op in enumerate(operations):
        factor = _factor(op, config)
        if open_run is not None and factor == open_run.factor:
            open_run = Run(open_run.factor, (*open_run.readers, number))
        elif factor is not None or not _is_small(op, config):
            runs += [open_run] if open_run is not None else []
            open_run = None if factor is None else Run(factor, (number,))
    runs += [open_run] if open_run is not None else []
    return [run for run in runs if len(run.readers) > 1 and is_product(operations[run.last])]


@dataclass(frozen=True)
class Shared:
    """What an operation shares with others of a run.

    Attributes:
        is_last: no operation behind it reads the factor.
        ahead: the operations behind it as far as the run's first product, if it is before that and
            the first reader.
    """

    factor: Load
    is_last: bool
    ahead: Sequence[Operation] = ()


def shared_by(block: Block, config: AcceleratorConfig) -> dict[Operation, Shared]:
    """What each operation of a run shares."""
    operations, found = list(block.ops), dict[Operation, Shared]()
    for run in runs_of(operations, config):
        product = next(n for n in run.readers if is_product(operations[n]))
        for n in range(run.first, run.last + 1):
            ahead = operations[n + 1 : product + 1] if n == run.first else ()
            found[operations[n]] = Shared(run.factor, n == run.last, ahead)
    return found


def is_product(op: Operation) -> bool:
    """Whether an operation is a group around a dot_general."""
    return isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "dot_general"


def _factor(op: Operation, config: AcceleratorConfig) -> Load | None:
    """The left factor of a product that it multiplies by as it lies in DRAM, or what a reduction of
    rows reads."""
    if not isinstance(op, HloOp) or op.kind != "fused":
        return None
    analysed = analyse(op)
    if isinstance(analysed, Loop):
        return _reduced(analysed)
    if isinstance(analysed, Contraction) and is_product(op):
        return _multiplied(analysed, config)
    return None


def _reduced(loop: Loop) -> Load | None:
    """What a loop reads whose only results are reductions of rows."""
    last = (len(loop.shape) - 1,)
    read = {node for node in loop.nodes if isinstance(node, Load) and node.view.is_whole
            and tensor_of(node.value).shape == loop.shape}
    if loop.results or not loop.reductions or len(read) != 1 or any(
            reduction.dimensions != last for reduction in loop.reductions):
        return None
    return read.pop()


def _multiplied(contraction: Contraction, config: AcceleratorConfig) -> Load | None:
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  contraction.op.attrs.get("precision_config", ()), config.int8)
    dims = contraction.op.attrs["dot_dimension_numbers"]
    plain = (made.parts == (1, 1) and not made.is_folded
             and contraction.lhs.element is made.local and not is_constant(contraction.lhs.value)
             and not contraction.behind and not dims["lhs_batching_dimensions"])
    return contraction.lhs if plain else None


def _is_small(op: Operation, config: AcceleratorConfig) -> bool:
    if isinstance(op, HloOp) and op.kind == "constant":
        return True
    if not isinstance(op, HloOp) or op.kind != "fused":
        return False
    touched = sum(tensor_of(value).bytes for value in (*op.operands, *op.results))
    return touched <= config.scratchpad_bytes // SMALL
