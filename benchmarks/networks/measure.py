"""What is measured of a network on one machine: cycles, limit, traffic, fusion, compile time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import isthmus
from benchmarks.networks import NETWORKS, PRODUCTS
from benchmarks.networks.network import Array, Network
from benchmarks.networks.traffic import Prediction, predict
from benchmarks.suite import Row
from hw.config import DEFAULT, AcceleratorConfig
from hw.isa.program import Program
from sim import rtl
from sim.result import Result


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure beside the model's prediction.

    Attributes:
        rtl: run the RTL too; it takes about a second for every 28,000 cycles.
        fusion: also compile without fusion.
        fast_math: also compile with rewrites that change rounding.
    """

    config: AcceleratorConfig = DEFAULT
    rtl: bool = False
    fusion: bool = True
    fast_math: bool = True


@dataclass(frozen=True)
class Compiled:
    """A program, the seconds compiling took and what the timing model says of it."""

    program: Program
    seconds: float
    predicted: Prediction


def measure(name: str, options: Options) -> Iterator[Row]:
    """The rows of one network.

    Raises:
        AssertionError: the RTL's results are further from JAX than the network tolerates.
    """
    network = {**NETWORKS, **PRODUCTS}[name]()
    config = options.config
    full = compiled(network, config)
    if options.rtl:
        result = rtl.run(full.program, network.inputs)
        check(network, result.outputs)
        yield from _measured(network, config, full, result)
    else:
        yield from _shares(network, config, full.predicted.cycles, "sim.model")
        moved = full.predicted.bytes_read + full.predicted.bytes_written
        yield _bytes_row(network, moved, "loads and stores")
    yield Row(f"{name}: compile time", full.seconds, "s",
              detail=f"{len(full.program.text):,} instructions")
    if options.fast_math:
        fast = compiled(network, config, fast_math=True)
        yield Row(f"{name}: cycles over those with fast_math",
                  full.predicted.cycles / fast.predicted.cycles, "", detail="sim.model")
    if options.fusion:
        yield from _fusion(network, full.predicted,
                           compiled(network, config, fusion="none").predicted)


def compiled(network: Network, config: AcceleratorConfig, fusion: str = "full",
             fast_math: bool = False) -> Compiled:
    """The network with its weights bound."""
    module, weights = network.module, network.weights
    begin = time.perf_counter()
    program = isthmus.compile(module, config=config, bind=weights, fusion=fusion,
                              fast_math=fast_math)
    seconds = time.perf_counter() - begin
    return Compiled(program, seconds, predict(program, network.inputs))


def check(network: Network, outputs: list[Array]) -> None:
    """Compares results with JAX.

    Raises:
        AssertionError: an output is further off than the network tolerates.
    """
    for number, (got, expected) in enumerate(zip(outputs, network.reference(), strict=True)):
        difference = deviation(got, expected)
        # Written so that NaN fails too.
        if not difference <= network.tolerance:
            raise AssertionError(f"{network.name}: output {number} is off by {difference:.1%} of "
                                 f"its largest value, allowed are {network.tolerance:.1%}")


def deviation(got: Array, expected: Array) -> float:
    """Largest difference, as a share of the largest expected value."""
    wide = expected.astype(np.float64)
    return float(np.abs(got.astype(np.float64) - wide).max() / np.abs(wide).max())


def _measured(network: Network, config: AcceleratorConfig, full: Compiled, result: Result
              ) -> Iterator[Row]:
    yield from _shares(network, config, result.cycles, "RTL")
    moved = result.dram_bytes_read + result.dram_bytes_written
    yield _bytes_row(network, moved, "with program text")
    yield Row(f"{network.name}: sim.model off the RTL",
              100 * abs(full.predicted.cycles / result.cycles - 1), "%", 5.0, at_least=False)


def _shares(network: Network, config: AcceleratorConfig, cycles: int, source: str
            ) -> Iterator[Row]:
    limit = network.limit(config.macs_per_cycle, config.bus_bytes)
    yield Row(f"{network.name}: share of the limit", 100 * limit / cycles, "%",
              detail=f"{source}, {cycles:,} cycles, limit {limit:,.0f}")
    yield Row(f"{network.name}: MAC utilisation",
              100 * network.macs / config.macs_per_cycle / cycles, "%",
              detail=f"{network.macs / 1e6:,.0f} M MACs")


def _bytes_row(network: Network, moved: int, what: str) -> Row:
    return Row(f"{network.name}: DRAM bytes over compulsory", moved / network.compulsory_bytes,
               "", detail=f"{moved:,} bytes, {what}")


def _fusion(network: Network, full: Prediction, none: Prediction) -> Iterator[Row]:
    yield Row(f"{network.name}: cycles without fusion over with", none.cycles / full.cycles, "",
              detail="sim.model")
    yield Row(f"{network.name}: bytes without fusion over with",
              (none.bytes_read + none.bytes_written) / (full.bytes_read + full.bytes_written), "",
              detail="loads and stores")
