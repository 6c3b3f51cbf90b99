"""Runs assembled programs on the RTL under the published conditions, and counts cycles."""

import numpy as np

from hw.config import AcceleratorConfig
from hw.isa.asm import assemble, encode
from hw.isa.program import (
    INPUT_WINDOW,
    OUTPUT_WINDOW,
    Program,
    Tensor,
)
from sim import rtl
from sim.result import Result

WINDOW_BYTES = 1 << 20


def run_text(config: AcceleratorConfig, text: str, seed: int = 0) -> Result:
    """Runs an assembly text with 1 MiB of random input and 1 MiB of output on the RTL."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal(WINDOW_BYTES // 4).astype(np.float32)
    shape = (WINDOW_BYTES // 4,)
    program = Program(
        config, np.array(encode(assemble(text)), np.uint64), b"",
        [Tensor("in", "f32", shape, INPUT_WINDOW, 0)],
        [Tensor("out", "f32", shape, OUTPUT_WINDOW, 0)], WINDOW_BYTES, WINDOW_BYTES)
    return rtl.run(program, [data])


def parameters(engine: str, values: dict[str, int]) -> str:
    """`set` instructions."""
    return "\n".join(f"set {engine}, x0, {name}, {value}" for name, value in values.items())


def whole_ranges(engine: str) -> str:
    """Valid ranges that leave nothing out."""
    return parameters(engine, {f"hi{level}": 0x7FFFFFFF for level in range(5)})
