"""Runs real models on the RTL and compares with golden and JAX: `make sim`.

Each example is StableHLO that JAX printed, with its weights, inputs and JAX's own results
(`train.py`, `export.py`); none of them needs JAX here.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import isthmus
from hw.config import load
from hw.isa.program import Program
from isthmus.report import describe
from sim import loader, machine
from sim.difference import explain
from sim.loader import Array

EXAMPLES = ("digits", "encoder")
BATCHES = 3


@dataclass(frozen=True)
class Data:
    """What an example's folder holds: inputs, JAX's results, labels if the model has any."""

    inputs: Array
    reference: Array
    labels: Array | None


def read(directory: Path) -> tuple[dict[str, Array], Data]:
    """The weights, by argument, and the data."""
    with np.load(directory / "weights.npz") as file:
        weights = dict(file)
    with np.load(directory / "data.npz") as file:
        return weights, Data(file["inputs"], file["reference"], file.get("labels"))


def run_example(name: str, config: str, batches: int) -> bool:
    """Compiles an example, runs it on golden and RTL, reports; whether both agree bit for bit."""
    directory = Path(__file__).parent / name
    weights, data = read(directory)
    begin = time.perf_counter()
    program = isthmus.compile(directory / "model.mlir", config=config, bind=weights)
    print(f"compiled in {time.perf_counter() - begin:.1f} s: {len(program.text):,} instructions, "
          f"{len(program.constants):,} bytes of constants")
    batch = program.inputs[0].shape[0]
    outputs = []
    for first in range(0, min(batches * batch, len(data.inputs)), batch):
        inputs = [data.inputs[first : first + batch]]
        golden = isthmus.run(program, inputs, sim="golden")
        result = isthmus.run(program, inputs, sim="rtl")
        if not _same_bits(golden.outputs, result.outputs):
            print(f"golden != RTL\n{difference(program, inputs, golden.outputs, result.outputs)}")
            return False
        outputs.append(result.outputs[0])
    print(f"golden == RTL: {sum(o.size for o in outputs):,} outputs, every bit")
    print(accuracy(np.concatenate(outputs), data))
    print(describe(program, result))
    predicted = isthmus.run(program, inputs, sim="model").cycles
    print(f"sim.model predicts {predicted:,} cycles, {predicted / result.cycles - 1:+.1%}")
    return True


def accuracy(outputs: Array, data: Data) -> str:
    """How close the outputs are to JAX's, and to the truth where it is known."""
    count = len(outputs)
    reference = data.reference[:count]
    error = float(np.max(np.abs(outputs.astype(np.float64) - reference.astype(np.float64))))
    text = (f"against JAX: largest difference {error:.2g} "
            f"of values up to {np.abs(reference).max():.2g}")
    if data.labels is None:
        return text
    ours, theirs = outputs.argmax(axis=1), reference.argmax(axis=1)
    labels = data.labels[:count]
    return (f"{text}; same class for {np.sum(ours == theirs)} of {count} images\n"
            f"accuracy on held-out images: {np.mean(ours == labels):.1%}, "
            f"JAX {np.mean(theirs == labels):.1%}")


def difference(program: Program, inputs: list[Array], expected: list[Array], got: list[Array]
               ) -> str:
    """Which instruction made the first output element that differs, and the bits."""
    before, left, right = (loader.grant(program) for _ in range(3))
    loader.fill(program, inputs, before)
    loader.store_outputs(program, expected, left)
    loader.store_outputs(program, got, right)
    window = program.outputs[0].window
    return explain(program.config, program.text, before, window,
                   left[window].data, right[window].data)


def _same_bits(left: list[Array], right: list[Array]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="EXAMPLE", help="default: all of "
                        + ", ".join(EXAMPLES))
    parser.add_argument("--config", default="default", help="machine (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=BATCHES,
                        help="batches of inputs to run at most (default: %(default)s)")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(EXAMPLES)):
        parser.error(f"no example {unknown[0]!r}; there are {', '.join(EXAMPLES)}")
    config = load(options.config)
    print(f"{config.name}: {config.array_rows}x{config.array_cols} array, {config.lanes} lanes, "
          f"{8 * config.bus_bytes}-bit AXI; the first run builds its RTL", flush=True)
    begin = time.perf_counter()
    # Elaboration leaves much memory behind, which a process of its own gives back.
    with ProcessPoolExecutor(1) as pool:
        pool.submit(machine.build, config).result()
    print(f"RTL ready in {time.perf_counter() - begin:.1f} s")
    agree = True
    for name in options.names or EXAMPLES:
        print(f"\n{name}", flush=True)
        agree &= run_example(name, options.config, options.batches)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
