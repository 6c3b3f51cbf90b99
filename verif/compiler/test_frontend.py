"""Reading StableHLO: what is accepted, what is refused and where the error points."""

import io
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxlib.mlir.dialects import stablehlo

from compiler.errors import CompileError
from compiler.frontend import load
from compiler.frontend.reader import open_source, parse
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import ElementType, Tensor
from compiler.reference import evaluate
from verif.compiler.models import export, floats, module

ADD = module("    %r = stablehlo.add %a, %a : tensor<4xf32>")


def operations(model: Any) -> list[str]:
    return [op.kind for op in main_function(model.module).walk() if isinstance(op, HloOp)]


def error(source: Any, **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        load(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_dot_general_becomes_ir() -> None:
    model = load(export(lambda x, w: x @ w, floats(4, 8), floats(8, 3)))
    assert operations(model) == ["dot_general"]
    assert model.results == (Tensor((4, 3), ElementType.F32),)
    assert [str(a.tensor) for a in model.arguments] == ["tensor<4x8xf32>", "tensor<8x3xf32>"]
    assert 'lhs_contracting_dimensions = array<i64: 1>' in str(model.module)


def test_calls_are_inlined_every_time() -> None:
    square = jax.jit(lambda x: x * x)
    model = load(export(lambda x: square(square(x)), floats(4)))
    assert operations(model) == ["multiply", "multiply"]
    x = floats(4)
    np.testing.assert_allclose(evaluate(model.module, [x])[0], x**4, rtol=1e-6)


def test_path_bytes_bytecode_and_artifact_give_the_same_ir(tmp_path: Path) -> None:
    expected = str(load(ADD).module)
    path = tmp_path / "add.mlir"
    path.write_text(ADD)
    parsed = parse(open_source(ADD))
    bytecode = io.BytesIO()
    parsed.operation.write_bytecode(bytecode)
    with parsed.context:
        artifact = stablehlo.serialize_portable_artifact(parsed, stablehlo.get_current_version())
    for source in (path, str(path), ADD.encode(), bytecode.getvalue(), artifact):
        assert str(load(source).module) == expected


def test_operations_know_line_and_column() -> None:
    (op,) = [op for op in main_function(load(ADD).module).walk() if isinstance(op, HloOp)]
    assert (op.source.line, op.source.column) == (3, 10)


def test_jax_names_and_input_lines_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(export(lambda x: jnp.tanh(x) + 1, floats(4), debug=True))
    ops = [op for op in main_function(load(path).module).walk() if isinstance(op, HloOp)]
    tanh = next(op for op in ops if op.kind == "tanh")
    line = path.read_text().splitlines()[tanh.source.line - 1]
    assert line[tanh.source.column - 1:].startswith("stablehlo.tanh")
    assert tanh.source.file == str(path)
    assert re.match(r"jit\(.*\)/tanh at .*test_frontend\.py:\d+", tanh.source.name)


@pytest.mark.parametrize("body, place, words", [
    ("    %r = stablehlo.add %a, %b : tensor<4xf32>", "3:28", "undeclared SSA value"),
    ("    %r = stablehlo.frobnicate %a : tensor<4xf32>", "3:10", "stablehlo.frobnicate"),
    ('    %s = "stablehlo.add"(%a, %a) : (tensor<4xf32>, tensor<4xf32>) -> tensor<5xf32>\n'
     "    %r = stablehlo.add %a, %a : tensor<4xf32>", "3:10", "stablehlo.add"),
    ("    %s = stablehlo.create_token : !stablehlo.token\n"
     "    %r = stablehlo.abs %a : tensor<4xf32>", "3:10", "create_token"),
    ("    %c = stablehlo.convert %a : (tensor<4xf32>) -> tensor<4xi4>\n"
     "    %r = stablehlo.convert %c : (tensor<4xi4>) -> tensor<4xf32>", "3:10", "i4"),
    ("    %c = stablehlo.convert %a : (tensor<4xf32>) -> tensor<4xcomplex<f32>>\n"
     "    %r = stablehlo.real %c : (tensor<4xcomplex<f32>>) -> tensor<4xf32>", "3:10", "complex"),
    ("    %r = stablehlo.custom_call @mystery(%a) : (tensor<4xf32>) -> tensor<4xf32>", "3:10",
     "@mystery is unknown: register"),
])
def test_errors_point_into_the_input(tmp_path: Path, body: str, place: str, words: str) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text(module(body))
    text = error(path)
    assert text.startswith(f"{path}:{place}"), text
    assert words in text


def test_unsupported_operation_says_what_to_do() -> None:
    text = error(module("    %0 = stablehlo.replica_id : tensor<ui32>\n"
                        "    %r = stablehlo.add %a, %a : tensor<4xf32>"))
    assert text == ("<input>:3:10: operation stablehlo.replica_id is not supported: one machine "
                    "runs the program: partition the model before compiling it")


def test_dynamic_dimensions_are_refused() -> None:
    text = error(module("    %r = stablehlo.abs %a : tensor<?xf32>", "%a: tensor<?xf32>",
                        "tensor<?xf32>"))
    assert "dynamic dimension in tensor<?xf32>" in text
    assert "static shapes" in text


def test_unreadable_inputs(tmp_path: Path) -> None:
    assert "cannot read" in error(tmp_path / "missing.mlir")
    assert "no function @main" in error("module {\n}\n")
    assert "neither MLIR text nor MLIR bytecode" in error(b"\xff\xfe\x00")
    assert "cannot be read" in error(b"ML\xefR\rStableHLO_v1.0.0\x00\x01")
    assert "not valid StableHLO" in error(b"ML\xefR\x01\x02")


def test_64_bit_types_are_refused_or_narrowed() -> None:
    text = module("    %c = stablehlo.constant dense<[1, -2]> : tensor<2xi64>\n"
                  "    %r = stablehlo.add %a, %c : tensor<2xi64>", "%a: tensor<2xi64>",
                  "tensor<2xi64>")
    assert "64-bit type i64 is not supported: use i32, or pass --narrow-64" in error(text)
    model = load(text, narrow_64=True)
    assert model.results == (Tensor((2,), ElementType.I32),)
    assert any("argument 0: i64 -> i32" in line for line in model.narrowed)
    assert any("3:10: stablehlo.constant: i64 -> i32" in line for line in model.narrowed)
    (result,) = evaluate(model.module, [np.array([5, 5], np.int32)])
    assert result.tolist() == [6, 3]


def test_a_constant_that_does_not_fit_is_never_narrowed() -> None:
    text = module("    %r = stablehlo.constant dense<5000000000> : tensor<2xi64>", "",
                  "tensor<2xi64>")
    assert "does not fit i32" in error(text, narrow_64=True)


@pytest.mark.parametrize("literal, type_, expected", [
    ("[1.5, 0xFF80, -0.0, 3.140625]", "4xbf16", [1.5, -np.inf, -0.0, 3.140625]),
    ('"0x803F0040C07F80BF"', "4xbf16", [1.0, 2.0, np.nan, -1.0]),
    ("0xFF800000", "2xf32", [-np.inf, -np.inf]),
    ("[1.5, 65504.0]", "2xf16", [1.5, 65504]),
    ("[true, false]", "2xi1", [True, False]),
    ("true", "3xi1", [True] * 3),
    ("[-128, 127]", "2xi8", [-128, 127]),
    ("[0, 255]", "2xui8", [0, 255]),
    ("4294967295", "ui32", 4294967295),
])
def test_constants(literal: str, type_: str, expected: Any) -> None:
    model = load(module(f"    %r = stablehlo.constant dense<{literal}> : tensor<{type_}>", "",
                        f"tensor<{type_}>"))
    (result,) = evaluate(model.module, [])
    np.testing.assert_array_equal(result.astype(np.float64), np.asarray(expected, np.float64))
    assert np.array_equal(np.signbit(result.astype(np.float64)),
                          np.signbit(np.asarray(expected, np.float64)))


def test_binding_makes_constants() -> None:
    text = export(lambda x, w: x @ w, floats(2, 3), floats(3, 4), debug=True)
    weights = floats(3, 4, seed=1)
    for key in ("arg1", "w"):
        model = load(text, bind={key: weights})
        assert [a.name for a in model.arguments] == ["x"]
        np.testing.assert_allclose(evaluate(model.module, [floats(2, 3)])[0],
                                   floats(2, 3) @ weights, rtol=1e-5)
    assert "shape [4, 3] and type float32, the argument is tensor<3x4xf32>" in error(
        text, bind={"w": weights.T})
    assert "type int32" in error(text, bind={"w": weights.astype(np.int32)})
    assert "there is no argument v; the arguments are x, w" in error(text, bind={"v": weights})


def test_donated_arguments_are_recorded() -> None:
    model = load(export(lambda cache, x: (cache + x, x * 2), floats(4), floats(4), donate=[0]))
    assert [(a.alias, a.donated) for a in model.arguments] == [(0, True), (None, False)]


def test_recursion_is_refused() -> None:
    text = """module {
  func.func private @f(%x: tensor<f32>) -> tensor<f32> {
    %0 = call @f(%x) : (tensor<f32>) -> tensor<f32>
    return %0 : tensor<f32>
  }
  func.func @main(%a: tensor<f32>) -> tensor<f32> {
    %r = call @f(%a) : (tensor<f32>) -> tensor<f32>
    return %r : tensor<f32>
  }
}
"""
    assert error(text).startswith("<input>:3:10: function @f calls itself")


def test_an_unknown_composite_becomes_its_decomposition() -> None:
    doubled = jax.lax.composite(lambda x: x + x, "test.doubled")
    model = load(export(doubled, floats(4)))
    assert operations(model) == ["add"]


