"""Numpy meaning of the operations against JAX, and the passes against that meaning."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from compiler.frontend import load
from compiler.ir.ops import HloOp, main_function
from compiler.ops.registry import operations
from compiler.passes import LEVELS, SIMPLIFYING
from compiler.passes.fuse import fuse
from compiler.reference import evaluate
from verif.compiler.cases import CASES, Case
from verif.compiler.loop_model import run_groups
from verif.compiler.models import Array, export, floats, module, results


def assert_close(got: list[Array], expected: list[Array]) -> None:
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        if np.issubdtype(theirs.dtype, np.integer) or theirs.dtype == np.bool_:
            np.testing.assert_array_equal(mine, theirs)
        else:
            tolerance = 1e-5 if theirs.dtype == np.float32 else 1e-2
            np.testing.assert_allclose(mine.astype(np.float64), theirs.astype(np.float64),
                                       rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation_against_jax(case: Case) -> None:
    """Before any pass, after the simplifying ones, and as loops over views at each level."""
    text = export(case.function, *case.arguments)
    assert any(f"{dialect}.{case.operation}" in text for dialect in ("stablehlo", "chlo"))
    arguments = [np.asarray(a) for a in case.arguments]
    expected = results(case.function, *arguments)
    model = load(text)
    used = used_arguments(model, arguments)
    assert_close(evaluate(model.module, used), expected)
    for simplify in SIMPLIFYING:
        simplify(model.module)
        model.module.verify()
    assert_close(evaluate(model.module, used), expected)
    exact = evaluate(model.module, used)
    for level in LEVELS:
        fused = model.module.clone()
        fuse(fused, level)
        fused.verify()
        for mine, theirs in zip(evaluate(fused, used), exact, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert_close(run_groups(fused, used), exact)


def used_arguments(model: Any, arguments: list[Array]) -> list[Array]:
    """JAX drops arguments nobody reads."""
    assert len(model.arguments) <= len(arguments)
    return arguments[:len(model.arguments)]


TEXTS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "logistic": ("    %r = stablehlo.logistic %a : tensor<4xf32>", lambda x: 1 / (1 + np.exp(-x))),
    "dot": ("    %0 = stablehlo.dot %a, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<f32>\n"
            "    %r = stablehlo.broadcast %0, sizes = [4] : (tensor<f32>) -> tensor<4xf32>",
            lambda x: np.full(4, x @ x)),
    "if": ("    %c = stablehlo.constant dense<true> : tensor<i1>\n"
           '    %r = "stablehlo.if"(%c) ({\n      "stablehlo.return"(%a) : (tensor<4xf32>) -> ()\n'
           "    }, {\n      %n = stablehlo.negate %a : tensor<4xf32>\n"
           '      "stablehlo.return"(%n) : (tensor<4xf32>) -> ()\n'
           "    }) : (tensor<i1>) -> tensor<4xf32>", lambda x: x),
    "batch_norm_inference": (
        "    %s = stablehlo.constant dense<[1.0, 2.0]> : tensor<2xf32>\n"
        "    %0 = stablehlo.reshape %a : (tensor<4xf32>) -> tensor<2x2xf32>\n"
        '    %1 = "stablehlo.batch_norm_inference"(%0, %s, %s, %s, %s) {epsilon = 0.5 : f32, '
        "feature_index = 1 : i64} : (tensor<2x2xf32>, tensor<2xf32>, tensor<2xf32>, "
        "tensor<2xf32>, tensor<2xf32>) -> tensor<2x2xf32>\n"
        "    %r = stablehlo.reshape %1 : (tensor<2x2xf32>) -> tensor<4xf32>",
        lambda x: np.array([1, 2] * 2) * (x - [1, 2] * 2) / np.sqrt(np.array([1.5, 2.5] * 2))
        + [1, 2] * 2),
}
"""What JAX no longer emits: a body and its meaning."""


@pytest.mark.parametrize("name", TEXTS)
def test_operation_from_text(name: str) -> None:
    body, meaning = TEXTS[name]
    model = load(module(body))
    x = floats(4)
    expected = [np.asarray(meaning(x)).astype(np.float32)]
    assert_close(evaluate(model.module, [x]), expected)
    for simplify in SIMPLIFYING:
        simplify(model.module)
    fuse(model.module)
    assert_close(run_groups(model.module, [x]), expected)


def test_every_operation_of_the_registry_is_tested() -> None:
    made_here = {"return", "fused", "reciprocal", "gelu"}  # gelu: test_templates
    tested = {case.operation for case in CASES} | set(TEXTS) | {"broadcast"}
    assert set(operations()) - made_here <= tested


def test_fused_modules_hold_only_groups() -> None:
    model = load(export(CASES[0].function, *CASES[0].arguments))
    fuse(model.module)
    kinds = [op.kind for op in main_function(model.module).body.block.ops
             if isinstance(op, HloOp)]
    assert kinds == ["fused"]
