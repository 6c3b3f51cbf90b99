"""What became of each group: which operations it joins, where its results are, what it costs."""

from collections import Counter
from collections.abc import Mapping

from xdsl.ir import SSAValue

from compiler.codegen.context import Place
from compiler.ir.ops import HloOp
from compiler.ops.views import ViewOperation
from hw.isa.host import Engine

BESIDE = frozenset(("constant", "iota", "return"))
"""Operations that are no work."""


def describe_group(group: HloOp, places: Mapping[SSAValue, Place],
                   cycles: Mapping[Engine, int]) -> str:
    """One line about a group for `--explain`.

    Args:
        places: of its results.
        cycles: that its commands are estimated to occupy each engine.
    """
    kinds = Counter(op.kind for op in group.bodies[0].ops if isinstance(op, HloOp)
                    and not isinstance(op.definition, ViewOperation) and op.kind not in BESIDE)
    work = " + ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
    busy = ", ".join(f"{engine.name.lower()} {n:,}" for engine, n in cycles.items() if n)
    kept = sum(places[result].on_chip for result in group.results if result in places)
    where = f"{kept} of {len(group.results)} results on chip" if group.results else ""
    return f"{group.source}: {work or group.attrs['kind']}; cycles: {busy or 'none'}; {where}"
