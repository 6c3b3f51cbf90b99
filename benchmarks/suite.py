"""What a benchmark is: a function that measures rows, and a list of all of them."""

import json
import platform
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Row:
    """One measured figure beside the one asked for.

    Attributes:
        asked: None where nothing was asked.
        at_least: whether more is better; otherwise less is.
    """

    what: str
    measured: float
    unit: str
    asked: float | None = None
    at_least: bool = True
    detail: str = ""

    @property
    def reached(self) -> bool:
        if self.asked is None:
            return True
        return self.measured >= self.asked if self.at_least else self.measured <= self.asked


Benchmark = Callable[[], Iterable[Row]]
BENCHMARKS: dict[str, Benchmark] = {}
"""By name, in the order of `make bench`."""


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Adds a function to `make bench`."""

    def register(function: Benchmark) -> Benchmark:
        BENCHMARKS[name] = function
        return function

    return register


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | asked | |", "|---|---|---|---|"]
    for row in rows:
        sign = "at least" if row.at_least else "at most"
        asked = "" if row.asked is None else f"{sign} {_number(row.asked, row.unit)}"
        mark = "" if row.asked is None else ("reached" if row.reached else "**missed**")
        what = f"{row.what} ({row.detail})" if row.detail else row.what
        lines.append(f"| {what} | {_number(row.measured, row.unit)} | {asked} | {mark} |")
    return "\n".join(lines)


def _number(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.1f} %"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def environment() -> dict[str, str]:
    """The machine and the commit the figures belong to."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True,
                            text=True, check=False).stdout.strip()
    return {"commit": commit, "python": platform.python_version(), "machine": platform.machine()}


def save(results: dict[str, list[Row]]) -> None:
    """Merges new results into the committed file."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"benchmarks": {}}
    known["environment"] = environment()
    for name, rows in results.items():
        known["benchmarks"][name] = [asdict(row) for row in rows]
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


def saved() -> dict[str, list[Row]]:
    """The committed results."""
    known = json.loads(RESULTS.read_text())["benchmarks"]
    return {name: [Row(**row) for row in rows] for name, rows in known.items()}
