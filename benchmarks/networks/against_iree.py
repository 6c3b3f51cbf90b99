"""Compile time beside IREE's: `python -m benchmarks.networks.against_iree resnet18 bert_base`.

Both compilers read the same file, JAX's StableHLO text with the weights as arguments, each as a
process of its own from start to finished output file, alternating within one run. IREE compiles
for this machine's CPU. A first run of each is not counted: it writes Python's byte code, which an
installed package has, and fills the caches of the file system. IREE's wheel goes into an
environment under `.cache`, not into the project's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.networks import NETWORKS
from sim.cache import ROOT

IREE = "iree-base-compiler==3.13.0"
RECORDS = Path(__file__).with_name("compile_times.json")
FOLDER = ROOT / ".cache" / "iree"
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPYCACHEPREFIX": str(FOLDER / "bytecode")}


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of processor time over all threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Comparison:
    """What compiling one network takes with both."""

    network: str
    isthmus: Cost
    iree: Cost

    @property
    def ratio(self) -> float:
        """By the clock; below 1 Isthmus is faster."""
        return self.isthmus.wall / self.iree.wall


def environment() -> Path:
    """IREE's compiler; installed at first use."""
    tool = FOLDER / "venv" / "bin" / "iree-compile"
    if not tool.exists():
        subprocess.run([sys.executable, "-m", "venv", tool.parents[1]], check=True)
        subprocess.run([tool.with_name("pip"), "install", "--quiet", IREE], check=True)
    return tool


def cost(command: list[str]) -> Cost:
    """Runs a command to its end."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def commands(module: Path, iree: Path, threads: bool) -> tuple[list[str], list[str]]:
    """Isthmus's and IREE's for one module."""
    ours = [sys.executable, "-m", "isthmus.cli", "compile", str(module),
            "-o", str(module.with_suffix(".isth"))]
    theirs = [str(iree), str(module), "--iree-input-type=stablehlo",
              "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
              "--iree-llvmcpu-target-cpu=host", "-o", str(module.with_suffix(".vmfb"))]
    return ours, theirs if threads else [*theirs, "--mlir-disable-threading"]


def compare(name: str, iree: Path, repeats: int, threads: bool) -> Comparison:
    """Medians of both compilers on one network."""
    module = FOLDER / f"{name}.mlir"
    module.write_text(NETWORKS[name]().module)
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for command in commands(module, iree, threads):
        cost(command)
    for _ in range(repeats):
        for command, kept in zip(commands(module, iree, threads), costs, strict=True):
            kept.append(cost(command))
    return Comparison(name, *map(_median, costs))


def _median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(one.wall for one in costs),
                statistics.median(one.cpu for one in costs))


def load() -> list[Comparison]:
    """The committed comparisons."""
    if not RECORDS.exists():
        return []
    return [Comparison(r["network"], Cost(**r["isthmus"]), Cost(**r["iree"]))
            for r in json.loads(RECORDS.read_text())]


def keep(new: list[Comparison]) -> None:
    """Adds comparisons, or replaces those of the same networks."""
    known = {c.network: c for c in (*load(), *new)}
    RECORDS.write_text(json.dumps([asdict(c) for c in known.values()], indent=1) + "\n")


def table(comparisons: list[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    lines = ["| network | Isthmus | IREE | ratio | Isthmus, processor | IREE, processor |",
             "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(
        f"| {c.network} | {c.isthmus.wall:.2f} s | {c.iree.wall:.2f} s | {c.ratio:.2f} "
        f"| {c.isthmus.cpu:.2f} s | {c.iree.cpu:.2f} s |" for c in comparisons)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks.against_iree",
                                     description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one-thread", action="store_true", help="keep IREE to one thread")
    parser.add_argument("--save", action="store_true", help="keep them for the README's table")
    options = parser.parse_args()
    iree = environment()
    found = [compare(name, iree, options.repeats, not options.one_thread)
             for name in options.names]
    print(table(found))
    if options.save:
        keep(found)


if __name__ == "__main__":
    main()
