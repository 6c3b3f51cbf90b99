"""Measured figures of networks: a record for each network, machine and mode, kept as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

RECORDS = Path(__file__).with_name("results.json")
PRODUCT = "product_"
"""Begins the name of a single product, before its sides MxNxK."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What was asked of a network.

    Attributes:
        share: of the limit or, with `of_peak`, of the array's peak; in percent.
        traffic: DRAM bytes over compulsory ones, at most.
    """

    share: float | None = None
    of_peak: bool = False
    traffic: float | None = None


TARGETS = {
    ("resnet50", "default"): Target(share=85, of_peak=True, traffic=1.4),
    ("resnet50", "fpga"): Target(share=85, of_peak=True, traffic=1.4),
    ("resnet50", "large"): Target(share=75, of_peak=True, traffic=1.4),
    ("resnet18", "default"): Target(share=90, of_peak=True, traffic=1.4),
    ("mobilenet_v2", "default"): Target(share=55, of_peak=True, traffic=1.4),
    ("bert_base", "default"): Target(share=85, traffic=1.15),
    ("vit_tiny", "default"): Target(share=85, traffic=1.15),
    ("gpt2_prefill", "default"): Target(traffic=1.15),
    ("gpt2_decode", "default"): Target(share=90, traffic=1.15),
    ("llama_prefill", "default"): Target(traffic=1.15),
    ("llama_decode", "default"): Target(share=90, traffic=1.15),
    ("lstm_batch16", "default"): Target(share=75, of_peak=True),
    ("unet_block", "default"): Target(traffic=1.4),
}
COLUMNS = ("network", "machine, mode", "cycles", "limit", "share of limit", "MAC utilisation",
           "asked", "bytes / compulsory", "model off", "none / full: cycles, bytes",
           "compiled in")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One network compiled and run in one way.

    Attributes:
        mode: `exact` or `fast_math`.
        cycles: of the RTL, None where only the model ran.
        predicted: cycles by `sim.model`.
        moved: DRAM bytes read and written, program text included: by the RTL's counters, else
            by the model, with the text once.
        deviation: largest difference from JAX as a share of the largest value, RTL only.
        unfused_cycles, unfused_bytes: ratios of no fusion to full fusion, by `sim.model`.
        digest: of the program, so that figures can be matched with what the compiler makes.
    """

    network: str
    config: str
    mode: str
    cycles: int | None
    predicted: int
    limit: float
    macs: int
    peak: int
    moved: int
    compulsory: int
    compile_seconds: float
    instructions: int
    digest: str
    deviation: float | None = None
    unfused_cycles: float | None = None
    unfused_bytes: float | None = None

    @property
    def measured(self) -> int:
        return self.predicted if self.cycles is None else self.cycles

    @property
    def utilisation(self) -> float:
        """Percent of the array's peak."""
        return 100 * self.macs / self.peak / self.measured

    @property
    def share(self) -> float:
        """Percent of the limit."""
        return 100 * self.limit / self.measured

    @property
    def traffic(self) -> float:
        return self.moved / self.compulsory

    @property
    def key(self) -> tuple[str, str, str]:
        return self.network, self.config, self.mode


def load() -> list[Record]:
    """The committed records."""
    return [Record(**r) for r in json.loads(RECORDS.read_text())] if RECORDS.exists() else []


def keep(new: Record) -> None:
    """Adds a record, or replaces that of the same network, machine and mode."""
    known = {r.key: r for r in load()}
    before = known.get(new.key)
    if before is not None and before.digest == new.digest:
        # What one run did not measure stays known as long as the program is the same.
        new = replace(new, **{
            name: getattr(before, name)
            for name in ("cycles", "deviation", "unfused_cycles", "unfused_bytes", "moved")
            if getattr(new, name) is None or (name == "moved" and new.cycles is None)})
    known[new.key] = new
    RECORDS.write_text(json.dumps([asdict(r) for r in known.values()], indent=1) + "\n")


def networks(records: Iterable[Record]) -> list[Record]:
    """Those that are not of single products."""
    return [r for r in records if not r.network.startswith(PRODUCT)]


def table(records: Iterable[Record]) -> str:
    """The records as a Markdown table, beside what was asked."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*lines, *map(_line, records)])


def products(records: Iterable[Record]) -> str:
    """The share of the limit of single products as a Markdown table: a line for each result's
    sides, a column for each depth."""
    known: dict[tuple[int, int], dict[int, Record]] = {}
    for r in records:
        if r.network.startswith(PRODUCT):
            m, n, k = map(int, r.network.removeprefix(PRODUCT).split("x"))
            known.setdefault((m, n), {})[k] = r
    depths = sorted({k for line in known.values() for k in line})
    lines = ["| m x n | " + " | ".join(f"k = {k}" for k in depths) + " |",
             "|---|" + "---|" * len(depths)]
    for (m, n), line in sorted(known.items()):
        cells = [_short(line[k]) if k in line else "" for k in depths]
        lines.append(f"| {m} x {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(r: Record) -> str:
    return f"{r.share:.1f} %" + ("" if r.cycles is not None else " (model)")


def _line(r: Record) -> str:
    target = TARGETS.get((r.network, r.config), Target())
    cycles = f"{r.measured:,}" + ("" if r.cycles is not None else " (model)")
    off = "" if r.cycles is None else f"{100 * (r.predicted / r.cycles - 1):+.1f} %"
    unfused = "" if r.unfused_cycles is None or r.unfused_bytes is None else (
        f"{r.unfused_cycles:.2f}, {r.unfused_bytes:.2f}")
    cells = (r.network, f"{r.config}, {r.mode.replace('_', ' ')}", cycles, f"{r.limit:,.0f}",
             f"{r.share:.1f} %", f"{r.utilisation:.1f} %", _asked(r, target),
             _traffic(r, target), off, unfused, f"{r.compile_seconds:.1f} s")
    return "| " + " | ".join(cells) + " |"


def _asked(r: Record, target: Target) -> str:
    if target.share is None:
        return ""
    what, got = ("of peak", r.utilisation) if target.of_peak else ("of limit", r.share)
    mark = "reached" if got >= target.share else "**missed**"
    return f"{target.share:.0f} % {what}: {mark}"


def _traffic(r: Record, target: Target) -> str:
    text = f"{r.traffic:.2f}"
    if target.traffic is None:
        return text
    mark = "reached" if r.traffic <= target.traffic else "**missed**"
    return f"{text} (at most {target.traffic}: {mark})"
