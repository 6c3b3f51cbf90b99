"""What becomes of every StableHLO operation: `isthmus ops`."""

import importlib
from collections.abc import Iterator
from typing import Any

from compiler.ops import registry, unsupported
from compiler.ops.composed import Composed

NATIVE, COMPOSED, UNSUPPORTED = "native", "composed", "unsupported"
INLINED = {
    "composite": "by a registered operation of its name, or its decomposition inlined",
    "custom_call": "by a registered operation of its name; annotations are dropped",
}
EXPANDED = {"if": "becomes case", "optimization_barrier": "dropped: no pass changes results"}

Row = tuple[str, str, str]
"""(operation with dialect, what becomes of it, note)."""


def stablehlo_operations() -> list[str]:
    """Every operation of the StableHLO dialect that jaxlib was built with, without dialect."""
    module: Any = importlib.import_module("jaxlib.mlir.dialects._stablehlo_ops_gen")
    names = {value.OPERATION_NAME for value in vars(module).values()
             if hasattr(value, "OPERATION_NAME")}
    return sorted(name.removeprefix("stablehlo.") for name in names)


def catalog() -> list[Row]:
    """All of StableHLO, then the operations of other dialects this compiler knows."""
    registry.load_extensions()
    importlib.import_module("compiler.codegen.groups")  # registers the code templates
    rows = [_row(f"stablehlo.{name}", name) for name in stablehlo_operations()]
    return [*rows, *_others()]


def _others() -> Iterator[Row]:
    for name, operation in sorted(registry.operations().items()):
        if operation.dialect not in ("stablehlo", "hlo"):
            # Operations for composites and custom calls are registered under their full name.
            prefix = f"{operation.dialect}."
            yield _row(prefix + name.removeprefix(prefix), name)


def _row(full_name: str, name: str) -> Row:
    operation = registry.lookup(name)
    if name in INLINED:
        return full_name, COMPOSED, INLINED[name]
    if operation is None:
        return full_name, UNSUPPORTED, unsupported.reason(full_name)
    if name in EXPANDED or isinstance(operation, Composed):
        return full_name, COMPOSED, EXPANDED.get(name, operation.summary)
    if operation.needs_template and registry.template(name) is None:
        return full_name, UNSUPPORTED, "no code template is registered"
    return full_name, NATIVE, operation.summary
