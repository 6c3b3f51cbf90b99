"""Matrix products, DRAM to DRAM: written by hand, and through the compiler from StableHLO."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.matmul_program import MatmulProgram
from benchmarks.suite import Row, benchmark
from compiler.pipeline import compile_module
from hw.config import DEFAULT, AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.program import Program
from sim import loader, rtl
from sim.golden import Golden
from sim.loader import NUMPY_TYPES, Array
from sim.model import Model


@dataclass(frozen=True)
class Product:
    """An m x n x k product (k is summed over) and what is asked of it, in percent of the MACs."""

    m: int
    n: int
    k: int
    by_hand: float
    compiled: float

    @property
    def macs(self) -> int:
        return self.m * self.n * self.k


PRODUCTS = (Product(256, 256, 1024, 97.0, 97.0), Product(256, 256, 256, 94.0, 94.0))
TYPES = {"bf16": (DType.BF16, DType.F32, "f32"), "i8": (DType.S8, DType.S32, "i32")}
"""Operand type of the measurements: operand and result in memory, result in MLIR's spelling."""


def by_hand(config: AcceleratorConfig, product: Product, operand: str) -> Program:
    """The product as `matmul_program` writes it."""
    operand_type, result_type, _ = TYPES[operand]
    return MatmulProgram(config, product.m, product.n, product.k, operand_type,
                         result_type).build()


def compiled(config: AcceleratorConfig, product: Product, operand: str) -> Program:
    """The product as the compiler makes it of one dot_general."""
    lhs = f"tensor<{product.m}x{product.k}x{operand}>"
    rhs = f"tensor<{product.k}x{product.n}x{operand}>"
    result = f"tensor<{product.m}x{product.n}x{TYPES[operand][2]}>"
    return compile_module(
        f"func.func @main(%a: {lhs}, %b: {rhs}) -> {result} {{\n"
        f"  %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]\n"
        f"      : ({lhs}, {rhs}) -> {result}\n"
        f"  return %0 : {result}\n}}", config)


def inputs(program: Program, seed: int = 0) -> list[Array]:
    """Random operands of a program."""
    rng = np.random.default_rng(seed)
    made: list[Array] = []
    for tensor in program.inputs:
        kind = NUMPY_TYPES[tensor.dtype]
        if tensor.dtype == "i8":
            made.append(rng.integers(-128, 128, tensor.shape).astype(kind))
        else:
            made.append(rng.standard_normal(tensor.shape).astype(kind))
    return made


def golden_outputs(program: Program, arrays: list[Array]) -> list[Array]:
    """What the program has to give."""
    windows = loader.grant(program)
    loader.fill(program, arrays, windows)
    Golden(program.config, program.text, windows).run()
    return loader.outputs(program, windows)


@benchmark("matmul")
def measure() -> Iterable[Row]:
    """Cycles from start to halt: first loads and last store included."""
    for product in PRODUCTS:
        for operand in TYPES:
            yield from _measure("by hand", by_hand(DEFAULT, product, operand), product, operand,
                                product.by_hand)
            yield from _measure("compiled", compiled(DEFAULT, product, operand), product, operand,
                                product.compiled)


def _measure(how: str, program: Program, product: Product, operand: str, asked: float
             ) -> Iterator[Row]:
    arrays = inputs(program)
    result = rtl.run(program, arrays)
    expected = golden_outputs(program, arrays)
    if any(a.tobytes() != b.tobytes() for a, b in zip(result.outputs, expected, strict=True)):
        raise AssertionError(f"matmul {product} {operand} {how}: RTL and golden model differ")
    ideal = product.macs / program.config.macs_per_cycle
    name = f"{product.m}x{product.n}x{product.k} {operand} {how}"
    predicted = Model(program.config, program.text).run()
    yield Row(name, 100 * ideal / result.cycles, "%", asked,
              detail=f"of {program.config.macs_per_cycle} MAC/cycle")
    yield Row(f"{name}, sim.model", 100 * abs(predicted / result.cycles - 1), "%", 5.0,
              at_least=False, detail="deviation from RTL")
