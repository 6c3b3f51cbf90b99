"""What is measured of a network on one machine: cycles, limit, traffic, fusion, compile time."""

import hashlib
import time
from dataclasses import dataclass

import numpy as np

import isthmus
from benchmarks.networks import NETWORKS, PRODUCTS
from benchmarks.networks.network import Array, Network
from benchmarks.networks.record import Record
from benchmarks.networks.traffic import Prediction, predict
from hw.config import DEFAULT, AcceleratorConfig
from hw.isa.program import Program
from sim import rtl

MODES = ("exact", "fast_math")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure beside the model's prediction.

    Attributes:
        mode: one of MODES.
        rtl: run the RTL too; it takes about a second for every 40,000 cycles of `default`.
        fusion: also compile without fusion.
    """

    config: AcceleratorConfig = DEFAULT
    mode: str = "exact"
    rtl: bool = False
    fusion: bool = False


@dataclass(frozen=True)
class Compiled:
    """A program, the seconds compiling took and what the timing model says of it."""

    program: Program
    seconds: float
    predicted: Prediction


def measure(name: str, options: Options) -> Record:
    """The figures of one network.

    Raises:
        AssertionError: the RTL's results are further from JAX than the network tolerates.
    """
    network = {**NETWORKS, **PRODUCTS}[name]()
    config, fast = options.config, options.mode == "fast_math"
    full = compiled(network, config, fast_math=fast)
    cycles, deviation = None, None
    moved = full.predicted.bytes + full.program.text.nbytes
    if options.rtl:
        result = rtl.run(full.program, network.inputs)
        deviation = check(network, result.outputs)
        cycles, moved = result.cycles, result.dram_bytes_read + result.dram_bytes_written
    unfused = compiled(network, config, "none", fast).predicted if options.fusion else None
    return Record(
        network=name, config=config.name, mode=options.mode, cycles=cycles,
        predicted=full.predicted.cycles,
        limit=network.limit(config.macs_per_cycle, config.bus_bytes), macs=network.macs,
        peak=config.macs_per_cycle, moved=moved, compulsory=network.compulsory_bytes,
        compile_seconds=full.seconds, instructions=len(full.program.text),
        digest=digest(full.program), deviation=deviation,
        unfused_cycles=unfused.cycles / full.predicted.cycles if unfused else None,
        unfused_bytes=unfused.bytes / full.predicted.bytes if unfused else None)


def digest(program: Program) -> str:
    """Of instructions and constants."""
    return hashlib.blake2b(program.text.tobytes() + bytes(program.constants),
                           digest_size=8).hexdigest()


def compiled(network: Network, config: AcceleratorConfig, fusion: str = "full",
             fast_math: bool = False) -> Compiled:
    """The network with its weights bound."""
    module, weights = network.module, network.weights
    begin = time.perf_counter()
    program = isthmus.compile(module, config=config, bind=weights, fusion=fusion,
                              fast_math=fast_math)
    seconds = time.perf_counter() - begin
    return Compiled(program, seconds, predict(program, network.inputs))


def check(network: Network, outputs: list[Array]) -> float:
    """Compares results with JAX; returns the largest deviation.

    Raises:
        AssertionError: an output is further off than the network tolerates.
    """
    largest = 0.0
    for number, (got, expected) in enumerate(zip(outputs, network.reference(), strict=True)):
        difference = deviation(got, expected)
        # Written so that NaN fails too.
        if not difference <= network.tolerance:
            raise AssertionError(f"{network.name}: output {number} is off by {difference:.1%} of "
                                 f"its largest value, allowed are {network.tolerance:.1%}")
        largest = max(largest, difference)
    return largest


def deviation(got: Array, expected: Array) -> float:
    """Largest difference, as a share of the largest expected value."""
    wide = expected.astype(np.float64)
    return float(np.abs(got.astype(np.float64) - wide).max() / np.abs(wide).max())
