"""Compile time beside IREE's: `python -m benchmarks.networks.against_iree resnet18 bert_base`.

Both compilers read the same file, JAX's StableHLO text with the weights as arguments, each as a
process of its own from start to finished output file, alternating within one run. IREE compiles
for this machine's CPU. A first run of each is not counted: it writes Python's byte code, which an
installed package has, and fills the caches of the file system. IREE's wheel goes into an
environment under `.cache`, not into the project's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.networks import NETWORKS
from sim.cache import ROOT

IREE = "iree-base-compiler==3.13.0"
FOLDER = ROOT / ".cache" / "iree"
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPYCACHEPREFIX": str(FOLDER / "bytecode")}


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of processor time over all threads."""

    wall: float
    cpu: float


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


def compare(name: str, iree: Path, repeats: int, threads: bool) -> str:
    """A table row: medians of both, and their ratio by the clock."""
    module = FOLDER / f"{name}.mlir"
    module.write_text(NETWORKS[name]().module)
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for command in commands(module, iree, threads):
        cost(command)
    for _ in range(repeats):
        for command, kept in zip(commands(module, iree, threads), costs, strict=True):
            kept.append(cost(command))
    wall = [statistics.median(one.wall for one in kept) for kept in costs]
    cpu = [statistics.median(one.cpu for one in kept) for kept in costs]
    return (f"| {name} | {wall[0]:.2f} s | {wall[1]:.2f} s | {wall[0] / wall[1]:.2f} "
            f"| {cpu[0]:.2f} s | {cpu[1]:.2f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks.against_iree",
                                     description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one-thread", action="store_true", help="keep IREE to one thread")
    options = parser.parse_args()
    iree = environment()
    print("| network | Isthmus | IREE | ratio | Isthmus, processor | IREE, processor |\n"
          "|---|---|---|---|---|---|", flush=True)
    for name in options.names:
        print(compare(name, iree, options.repeats, not options.one_thread), flush=True)


if __name__ == "__main__":
    main()
