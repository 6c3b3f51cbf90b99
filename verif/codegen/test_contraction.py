"""dot_general: every layout, type and precision, bit by bit against sums one step at a time."""

from dataclasses import dataclass

import numpy as np
import pytest

from verif.codegen.contraction_reference import dot_general, execute, mlir_type, random

MLIR_TO_NUMPY = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i32": "int32",
                 "i8": "int8", "ui32": "uint32"}


@dataclass(frozen=True)
class Case:
    """A dot_general as StableHLO writes it."""

    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    contracting: tuple[tuple[int, ...], tuple[int, ...]] = ((1,), (0,))
    batch: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    types: str = "float32 f32"
    precision: str = "DEFAULT"
    config: str = "tiny"

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, s)) for s in (self.lhs, self.rhs))
        return f"{shapes}-{self.types.replace(' ', '-')}-{self.precision}-{self.config}"


LAYOUTS = [
    Case((1, 1), (1, 1)),
    Case((5, 7), (7, 9)),
    Case((33, 21), (21, 17)),
    Case((33, 21), (17, 21), ((1,), (1,))),
    Case((21, 33), (21, 17), ((0,), (0,))),
    Case((21, 33), (17, 21), ((0,), (1,))),
    Case((100,), (100,), ((0,), (0,))),
    Case((1, 100), (100, 50)),
    Case((70, 3), (3, 1)),
    Case((3, 8, 9), (3, 9, 5), ((2,), (1,)), ((0,), (0,))),
    Case((2, 6, 3, 8), (2, 7, 3, 8), ((3,), (3,)), ((0, 2), (0, 2))),
    Case((4, 5, 6), (6, 5, 4), ((1, 2), (1, 0)), ((0,), (2,))),
    Case((4, 5, 6), (6, 5, 4), ((2, 1), (0, 1)), ((0,), (2,))),
    Case((6, 5, 4), (5, 3, 6, 2), ((1, 0), (0, 2))),
    Case((9, 4, 3), (4, 9, 5, 2), ((1,), (0,)), ((0,), (1,))),
    Case((5, 6, 7), (7, 3), ((2,), (0,))),
    Case((40, 300), (300, 24)),
]
TYPES = [
    Case((13, 30), (30, 11), types="bfloat16 bf16"),
    Case((13, 30), (30, 11), types="bfloat16 f32"),
    Case((13, 30), (30, 11), types="float16 f16"),
    Case((13, 30), (30, 11), types="float16 f32"),
    Case((13, 30), (30, 11), precision="HIGH"),
    Case((13, 30), (30, 11), precision="HIGHEST"),
    Case((30, 13), (11, 30), ((0,), (1,)), precision="HIGHEST"),
    Case((13, 30), (30, 11), types="int8 i32"),
    Case((30, 13), (30, 11), ((0,), (0,)), types="int8 i32"),
    Case((13, 30), (30, 11), types="int8 i8"),
    Case((13, 30), (30, 11), types="uint8 i32"),
    Case((13, 30), (30, 11), types="uint8 ui32"),
    Case((13, 30), (30, 11), types="int16 i32"),
    Case((13, 30), (30, 11), types="uint16 ui32"),
    Case((13, 30), (30, 11), types="int32 i32"),
    Case((13, 30), (30, 11), types="uint32 ui32"),
    Case((13, 30), (30, 11), types="int8 i32", config="tiny-noint8"),
    Case((3, 2100), (2100, 5), types="int8 i32", config="tiny-noint8"),
    Case((13, 30), (30, 11), types="uint8 i32", config="tiny-noint8"),
    Case((13, 30), (30, 11), types="int32 i32", config="tiny-noint8"),
    Case((13, 30), (30, 11), types="bfloat16 f32", config="tiny-nosfu"),
]


def _dims(numbers: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _text(case: Case, operands: tuple[str, str], result: str, rest: str = "", extra: str = "",
          returned: str = "%0") -> str:
    batching = ""
    if case.batch[0]:
        batching = f"batching_dims = {_dims(case.batch[0])} x {_dims(case.batch[1])}, "
    return f"""
func.func @main(%a: {operands[0]}, %b: {operands[1]}{extra}) -> {result} {{
  %0 = stablehlo.dot_general %a, %b, {batching}contracting_dims = {
      _dims(case.contracting[0])} x {_dims(case.contracting[1])}, precision = [{
      case.precision}, {case.precision}] : ({operands[0]}, {operands[1]}) -> {result}
  {rest}
  return {returned} : {result}
}}"""


@pytest.mark.parametrize("case", LAYOUTS + TYPES, ids=str)
def test_bits(case: Case, rng: np.random.Generator) -> None:
    operand, element = case.types.split()
    lhs, rhs = random(rng, case.lhs, operand), random(rng, case.rhs, operand)
    sums = dot_general(lhs, rhs, case.batch, case.contracting, case.precision)
    expected = sums.astype(random(rng, (1,), MLIR_TO_NUMPY[element]).dtype)
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), mlir_type(expected))
    (found,) = execute(text, [lhs, rhs], case.config)
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("precision, error", [("DEFAULT", 2e-2), ("HIGH", 3e-5), ("HIGHEST", 1e-6)])
def test_accuracy(precision: str, error: float, rng: np.random.Generator) -> None:
    lhs, rhs = random(rng, (16, 60), "float32"), random(rng, (60, 12), "float32")
    case = Case(lhs.shape, rhs.shape, precision=precision)
    exact = lhs.astype(np.float64) @ rhs.astype(np.float64)
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), mlir_type(exact.astype(np.float32)))
    (found,) = execute(text, [lhs, rhs], "tiny")
    assert np.abs(found - exact).max() < error * np.abs(exact).max()


@pytest.mark.parametrize("config", ["tiny", "fpga"])
def test_tiling_does_not_change_bits(config: str, rng: np.random.Generator) -> None:
    case = Case((50, 70), (70, 60))
    lhs, rhs = random(rng, case.lhs, "float32"), random(rng, case.rhs, "float32")
    expected = dot_general(lhs, rhs, case.batch, case.contracting)
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), mlir_type(expected))
    (found,) = execute(text, [lhs, rhs], config)
    assert found.tobytes() == expected.tobytes()


def test_special_values(rng: np.random.Generator) -> None:
    """Infinities and NaN keep to their rows and columns."""
    lhs, rhs = random(rng, (8, 10), "float32"), random(rng, (10, 8), "float32")
    lhs[1, 2], lhs[3, 4], rhs[5, 6] = np.inf, np.nan, -np.inf
    text = _text(Case(lhs.shape, rhs.shape), (mlir_type(lhs), mlir_type(rhs)), "tensor<8x8xf32>")
    (found,) = execute(text, [lhs, rhs], "tiny")
    with np.errstate(invalid="ignore"):
        exact = lhs @ rhs
    assert np.array_equal(np.isnan(found), np.isnan(exact))
    assert np.array_equal(np.isposinf(found), np.isposinf(exact))
    assert np.array_equal(np.isneginf(found), np.isneginf(exact))


@pytest.mark.parametrize("shape, dims", [
    ((17,), "[1]"), ((33,), "[0]"), ((33, 17), "[0, 1]"), ((1, 17), "[0, 1]"),
])
def test_epilogue(shape: tuple[int, ...], dims: str, rng: np.random.Generator) -> None:
    """A bias or residual and a rectifier on the way from the accumulators to DRAM."""
    case = Case((33, 21), (21, 17))
    lhs, rhs = random(rng, case.lhs, "float32"), random(rng, case.rhs, "float32")
    bias = random(rng, shape, "float32")
    sums = dot_general(lhs, rhs, case.batch, case.contracting)
    whole = bias if bias.ndim == 2 else bias.reshape((-1, 1) if dims == "[0]" else (1, -1))
    expected = np.maximum(sums + whole, np.float32(0.0))
    result = mlir_type(expected)
    rest = f"""%1 = stablehlo.broadcast_in_dim %c, dims = {dims} : ({mlir_type(bias)}) -> {result}
  %2 = stablehlo.add %0, %1 : {result}
  %z = stablehlo.constant dense<0.0> : {result}
  %3 = stablehlo.maximum %2, %z : {result}"""
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), result, rest,
                 f", %c: {mlir_type(bias)}", "%3")
    (found,) = execute(text, [lhs, rhs, bias], "tiny")
    assert found.tobytes() == expected.tobytes()


def test_epilogue_of_batches(rng: np.random.Generator) -> None:
    """A residual in another order of dimensions than the sums are made in."""
    case = Case((2, 6, 3, 8), (2, 7, 3, 8), ((3,), (3,)), ((0, 2), (0, 2)))
    lhs, rhs = random(rng, case.lhs, "float32"), random(rng, case.rhs, "float32")
    residual = random(rng, (2, 6, 3, 7), "float32")
    sums = dot_general(lhs, rhs, case.batch, case.contracting)
    expected = sums + residual.transpose(0, 2, 1, 3)
    result = mlir_type(expected)
    kind = mlir_type(residual)
    rest = f"""%1 = stablehlo.transpose %c, dims = [0, 2, 1, 3] : ({kind}) -> {result}
  %2 = stablehlo.add %0, %1 : {result}"""
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), result, rest,
                 f", %c: {mlir_type(residual)}", "%2")
    (found,) = execute(text, [lhs, rhs, residual], "tiny")
    assert found.tobytes() == expected.tobytes()


def test_epilogue_of_integers(rng: np.random.Generator) -> None:
    """Totals of digits are folded before the epilogue sees them."""
    case = Case((9, 1300), (1300, 6), types="int8 i32", config="tiny-noint8")
    lhs, rhs = random(rng, case.lhs, "int8"), random(rng, case.rhs, "int8")
    expected = dot_general(lhs, rhs, case.batch, case.contracting) * 3
    result = mlir_type(expected)
    rest = f"""%c3 = stablehlo.constant dense<3> : {result}
  %1 = stablehlo.multiply %0, %c3 : {result}"""
    text = _text(case, (mlir_type(lhs), mlir_type(rhs)), result, rest, returned="%1")
    (found,) = execute(text, [lhs, rhs], case.config)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_constant_weights(dtype: str, rng: np.random.Generator) -> None:
    """Rounded and laid out by the compiler: the same bits, half the bytes."""
    lhs, rhs = random(rng, (9, 30), dtype), random(rng, (11, 30), dtype)
    expected = dot_general(lhs, rhs, ((), ()), ((1,), (1,))).astype(lhs.dtype)
    words = rhs.tobytes().hex().upper()
    text = f"""
func.func @main(%a: {mlir_type(lhs)}) -> {mlir_type(expected)} {{
  %b = stablehlo.constant dense<"0x{words}"> : {mlir_type(rhs)}
  %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [1]
      : ({mlir_type(lhs)}, {mlir_type(rhs)}) -> {mlir_type(expected)}
  return %0 : {mlir_type(expected)}
}}"""
    (found,) = execute(text, [lhs], "tiny")
    assert found.tobytes() == expected.tobytes()
