"""Operations per cycle and lane of fused vector loops."""

from collections.abc import Iterable

from benchmarks.measure import parameters, run_text
from benchmarks.suite import Row, benchmark
from hw.config import DEFAULT, AcceleratorConfig

ELEMENTS = 4096
KERNELS = 16


def body(operations: int) -> list[str]:
    """A chain of dependent operations from two input streams to one output stream."""
    if operations == 1:
        return ["fadd d0, s0, s1"]
    middle = ["fmul v0, v0, k0" if i % 2 else "fadd v0, v0, k1" for i in range(operations - 2)]
    return ["fadd v0, s0, s1", *middle, "fmax d0, v0, k2"]


def program(config: AcceleratorConfig, operations: int, kernels: int) -> str:
    """`kernels` equal kernels over `ELEMENTS` elements."""
    groups = ELEMENTS // config.lanes
    row = 4 * config.lanes
    lines = []
    for number, name in enumerate(("s0", "s1", "d0")):
        lines.append(parameters("vector", {
            f"{name}.base": number * ELEMENTS * 4, f"{name}.n0": config.lanes,
            f"{name}.stride0": 4, f"{name}.stride1": row, f"{name}.bound1": groups,
            f"{name}.bound2": 1, f"{name}.bound3": 1, f"{name}.bound4": 1}))
    lines.append(parameters("vector", {
        "strip": config.strip_groups, "k0": 0x3F000000, "k1": 0x3F800000, "k2": 0}))
    kernel = "\n".join([f"run x0, {operations}, {groups}", *body(operations)])
    return "\n".join([*lines, *[kernel] * kernels, "halt"])


@benchmark("vector")
def measure() -> Iterable[Row]:
    """Cycles per kernel of a sequence: the difference of long and short runs."""
    for operations in (1, 2, 4, 8, 16):
        long, short = (run_text(DEFAULT, program(DEFAULT, operations, n)).cycles
                       for n in (KERNELS + 1, 1))
        per_kernel = (long - short) / KERNELS
        rate = operations * ELEMENTS / DEFAULT.lanes / per_kernel
        yield Row(f"fused loop of {operations} operations on {ELEMENTS} elements", rate,
                  "per cycle and lane", 0.95)
