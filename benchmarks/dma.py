"""Share of the bus the DMA engines use, in contiguous transfers and in rows of 64 bytes."""

from collections.abc import Iterable

from benchmarks.measure import parameters, run_text, whole_ranges
from benchmarks.suite import Row, benchmark
from hw.config import DEFAULT

TRANSFERS = 32
TRANSFER_BYTES = 4096


def program(engine: str, row_bytes: int) -> str:
    """`TRANSFERS` transfers of 4 KiB each; rows are twice their length apart in DRAM."""
    rows = TRANSFER_BYTES // row_bytes
    lines = [whole_ranges(engine), parameters(engine, {
        "n0": row_bytes // 4, "bound1": rows, "bound2": 1, "bound3": 1, "bound4": 1,
        "dstride1": 2 * row_bytes, "lstride1": row_bytes})]
    mnemonic, window = ("ld", 2) if engine == "load" else ("st", 3)
    for i in range(TRANSFERS):
        lines += [f"addi x1, x0, {i * TRANSFER_BYTES}",
                  f"{mnemonic} {window}, x0, x1, f32, f32, 0, {i * 2 * TRANSFER_BYTES}"]
    return "\n".join([*lines, "halt"])


@benchmark("dma")
def measure() -> Iterable[Row]:
    """128 KiB in each direction, start and end of the program included."""
    for engine in ("load", "store"):
        for row_bytes, asked in ((TRANSFER_BYTES, 95.0), (64, 85.0)):
            cycles = run_text(DEFAULT, program(engine, row_bytes)).cycles
            beats = TRANSFERS * TRANSFER_BYTES / DEFAULT.bus_bytes
            yield Row(f"{engine} DMA, rows of {row_bytes} bytes", 100 * beats / cycles, "%", asked,
                      detail="share of the bus")
