"""What the passes make of typical pieces of models."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.frontend import Model, load
from compiler.ir.loops import Contraction, Loop, Movement, analyse
from compiler.ir.ops import HloOp, main_function
from compiler.passes import SIMPLIFYING, optimise
from compiler.passes.check import check
from compiler.passes.fuse import fuse
from compiler.passes.groups import Groups
from compiler.reference import evaluate
from verif.compiler.models import export, floats, integers, jax, module

jnp, lax = jax.numpy, jax.lax
X = floats(6, 8)


def simplified(function: Callable[..., Any], *arguments: Any) -> Model:
    model = load(export(function, *arguments))
    for simplify in SIMPLIFYING:
        simplify(model.module)
    return model


def kinds(model: Model) -> list[str]:
    """Operations outside groups, and `kind(operations...)` of each group, in order."""
    found = []
    for op in main_function(model.module).body.block.ops:
        if isinstance(op, HloOp):
            inner = [o.kind for o in op.bodies[0].ops if isinstance(o, HloOp)] \
                if op.kind == "fused" else []
            work = [k for k in inner if k not in ("return", "constant", "broadcast_in_dim")]
            found.append(" ".join(work) if op.kind == "fused" else op.kind)
    return found


def fused(function: Callable[..., Any], *arguments: Any, level: str = "full") -> Model:
    model = simplified(function, *arguments)
    fuse(model.module, level)
    return model


def groups(model: Model) -> list[Loop | Contraction | Movement]:
    return [analyse(op) for op in main_function(model.module).body.block.ops
            if isinstance(op, HloOp) and op.kind == "fused"]


def layer(x: Any, w: Any, b: Any) -> Any:
    return jax.nn.relu(x @ w + b) * 2.0


LAYER = (X, floats(8, 5), floats(5))


def test_epilogue_joins_the_contraction() -> None:
    model = fused(layer, *LAYER)
    assert kinds(model) == ["dot_general add maximum multiply"]
    (group,) = groups(model)
    assert isinstance(group, Contraction)
    assert group.epilogue.shape == (6, 5)
    assert group.lhs.view.strides == (8, 1)


@pytest.mark.parametrize("level, expected", [
    ("none", ["dot_general", "add", "maximum", "multiply"]),
    ("elementwise", ["dot_general", "add maximum multiply"]),
])
def test_lower_levels_fuse_less(level: str, expected: list[str]) -> None:
    assert kinds(fused(layer, *LAYER, level=level)) == expected


def test_softmax_is_three_loops() -> None:
    assert kinds(fused(lambda x: jax.nn.softmax(x), X)) == [
        "reduce", "subtract exponential reduce", "reciprocal", "multiply"]


def test_a_reduction_may_hand_on_what_it_reduces() -> None:
    _, loop, *_ = groups(fused(lambda x: jax.nn.softmax(x), X))
    assert isinstance(loop, Loop)
    assert loop.shape == (6, 8)
    assert [r.dimensions for r in loop.reductions] == [(1,)]
    assert len(loop.results) == 1


def test_views_become_strides() -> None:
    (loop,) = groups(fused(lambda x: jnp.exp(x.T[::-1, 1:5:2]) + x[0, :, None], X))
    assert isinstance(loop, Loop)
    views = [node.view for node in loop.nodes if hasattr(node, "view")]
    assert [(v.shape, v.strides, v.offset) for v in views] == [
        ((8, 2), (-1, 16), 15), ((8, 2), (1, 0), 0)]


def test_a_view_that_has_no_strides_is_stored() -> None:
    assert kinds(fused(lambda x: x.T.reshape(6, 8) + 1, X)) == ["transpose", "reshape add"]


def test_nothing_is_fused_around_an_operation_in_between() -> None:
    """b needs all of a's sum, c needs a and b: a and c cannot be one loop."""
    def function(x: Any) -> Any:
        a = jnp.exp(x)
        return a * a.sum()
    model = fused(function, X)
    assert kinds(model) == ["exponential reduce", "multiply"]
    np.testing.assert_allclose(evaluate(model.module, [X])[0], np.exp(X) * np.exp(X).sum(),
                               rtol=1e-5)


def test_cheap_values_are_computed_again_instead_of_stored() -> None:
    """The normalisation's x - mean is read from x and mean in both loops that use it."""
    def normalised(x: Any) -> Any:
        centred = x - x.mean(1, keepdims=True)
        return centred * lax.rsqrt((centred * centred).mean(1, keepdims=True))
    model = fused(normalised, X)
    assert kinds(model) == ["reduce", "multiply", "subtract multiply reduce",
                            "multiply rsqrt", "subtract multiply"]
    assert all(len(op.results) == 1 for op in main_function(model.module).body.block.ops
               if isinstance(op, HloOp))


def test_what_is_cheap_to_make_of_a_stored_result_is_made_where_it_is_read() -> None:
    """The squares of a sum that is stored anyway are not stored beside it."""
    model = fused(summed_and_scaled, X, floats(8, 8))
    assert kinds(model)[:2] == ["dot_general add", "multiply reduce"]
    assert all(len(op.results) == 1 for op in main_function(model.module).body.block.ops
               if isinstance(op, HloOp))
    expected = summed_and_scaled(X, floats(8, 8))
    np.testing.assert_allclose(evaluate(model.module, [X, floats(8, 8)])[0], expected, rtol=1e-5)


def summed_and_scaled(x: Any, w: Any) -> Any:
    total = x + x @ w
    return total * lax.rsqrt((total * total).mean(1, keepdims=True) + 1)


def test_costly_values_are_stored() -> None:
    """exp runs in the special function unit: softmax keeps its result."""
    exponential = groups(fused(lambda x: jax.nn.softmax(x), X))[1]
    assert isinstance(exponential, Loop)
    assert len(exponential.results) == 1


def test_merged_heads_are_contracted_where_they_lie() -> None:
    """transpose, reshape, matmul of attention: no copy, k still heads first."""
    model = fused(lambda x, w: x.transpose(1, 0, 2).reshape(6, 8) @ w, floats(2, 6, 4),
                  floats(8, 3))
    (group,) = groups(model)
    assert isinstance(group, Contraction)
    dims = group.op.attrs["dot_dimension_numbers"]
    assert (dims["lhs_contracting_dimensions"], dims["rhs_contracting_dimensions"]) == (
        (1, 2), (0, 1))
    assert group.lhs.view.strides == (4, 24, 1)


def test_refusals_are_explained_with_both_places() -> None:
    model = simplified(lambda x: jnp.exp(x) - jnp.exp(x).sum(1, keepdims=True), X)
    lines = fuse(model.module)
    assert len(lines) == 1
    assert "subtract is not fused with exponential" in lines[0]
    assert lines[0].endswith("it needs the whole reduction")
    assert lines[0].count("<input>:") == 2


def test_what_reads_one_of_two_merged_groups_waits_for_both() -> None:
    """Also where neither of them reads the other."""
    model = load(module("""
    %s = stablehlo.add %a, %a : tensor<4xf32>
    %p = stablehlo.multiply %a, %a : tensor<4xf32>
    %t = stablehlo.tanh %s : tensor<4xf32>
    %u = stablehlo.tanh %p : tensor<4xf32>
    %r = stablehlo.add %t, %u : tensor<4xf32>"""))
    total, product, *readers, _ = operations = [
        op for op in main_function(model.module).body.block.ops if isinstance(op, HloOp)][:5]
    found = Groups(operations)
    found.merge(total, product, "full")
    assert len({found.lateness(reader)[0] for reader in readers}) == 1


def test_argmax_becomes_two_reductions_of_one_tensor() -> None:
    for function in (jnp.argmax, jnp.argmin):
        model = simplified(lambda x, f=function: f(x, 1), X)
        check(model.module)
        np.testing.assert_array_equal(evaluate(model.module, [X])[0], np.asarray(function(X, 1)))


def test_other_pairs_are_not_taken_for_argmax() -> None:
    """The last index of the maximum instead of the first."""
    def last(x: Any) -> Any:
        index = lax.broadcasted_iota(jnp.int32, x.shape, 1)

        def body(a: Any, b: Any) -> Any:
            first = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] > b[1]))
            return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])
        return lax.reduce((x, index), (-jnp.inf, 0), body, (1,))
    model = simplified(last, X)
    with pytest.raises(CompileError, match="reduce of several tensors at once"):
        check(model.module)


def test_constants_are_computed() -> None:
    model = simplified(lambda x: x + jnp.sqrt(jnp.float32(2)) * jnp.full((8,), 3.0), X)
    assert [k for k in kinds(model) if k not in ("constant", "broadcast_in_dim")] == ["add"]


def test_bound_weights_are_converted_once() -> None:
    text = export(lambda x, w: x @ w.T.astype(jnp.bfloat16).astype(jnp.float32), X, floats(5, 8))
    model = load(text, bind={"arg1": floats(5, 8, seed=1)})
    for simplify in SIMPLIFYING:
        simplify(model.module)
    assert kinds(model) == ["constant", "dot_general"]


def test_equal_operations_become_one() -> None:
    model = simplified(lambda x: jnp.exp(x) + jnp.exp(x), X)
    assert kinds(model) == ["exponential", "add"]


def test_widened_operands_are_contracted_as_they_were() -> None:
    model = simplified(lambda x, y: x.astype(jnp.float32) @ y.astype(jnp.float32),
                       X.astype(ml_dtypes.bfloat16), X.T.astype(ml_dtypes.bfloat16))
    assert kinds(model) == ["dot_general"]
    model = simplified(lambda x, y: x.astype(jnp.int32) @ y.astype(jnp.int32),
                       integers(3, 4, dtype=np.int8), integers(4, 3, dtype=np.int8))
    assert kinds(model) == ["dot_general"]


@pytest.mark.parametrize("function, expected", [
    (lambda x: x / 4, "multiply"), (lambda x: x / 3, "multiply"),
    (lambda x: jnp.floor(x / 3), "divide floor"), (lambda x: 1 / x, "reciprocal"),
    (lambda x: x**jnp.float32(2), "square"), (lambda x: jnp.maximum(x, -jnp.inf), ""),
    (lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), "convert convert"),
    (lambda x: x.astype(jnp.float32), ""), (lambda x: x.reshape(6, 8).T.T, ""),
])
def test_canonical_forms(function: Callable[..., Any], expected: str) -> None:
    model = simplified(function, X)
    names = [k for k in kinds(model) if k not in ("constant", "broadcast_in_dim")]
    assert " ".join(names) == expected


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-6), (ml_dtypes.bfloat16, 2.0**-8)])
def test_a_broadcast_divisor_is_inverted_once(dtype: Any, rtol: float) -> None:
    x, y = X.astype(dtype), 1 + abs(floats(6, seed=1)).astype(dtype)
    model = simplified(lambda x, y: x / y[:, None], x, y)
    model.module.verify()
    (row,) = (op for op in main_function(model.module).walk()
              if isinstance(op, HloOp) and op.kind == "reciprocal")
    assert row.tensor.size == 6
    (got,) = evaluate(model.module, [x, y])
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got.astype(np.float32), x.astype(np.float32)
                               / y.astype(np.float32)[:, None], rtol=rtol)


def test_what_depends_on_a_broadcast_alone_is_computed_before_it() -> None:
    x, y = floats(64, 128), floats(128)
    model = simplified(lambda x, y: x * lax.rsqrt(jnp.broadcast_to(y, x.shape) + 1), x, y)
    sizes = {op.kind: op.tensor.size for op in main_function(model.module).walk()
             if isinstance(op, HloOp)}
    assert (sizes["add"], sizes["rsqrt"], sizes["multiply"]) == (128, 128, 64 * 128)
    np.testing.assert_allclose(evaluate(model.module, [x, abs(y)])[0], x / np.sqrt(abs(y) + 1),
                               rtol=1e-6)


def test_constants_fold_through_broadcasts() -> None:
    y = abs(floats(128))
    model = simplified(lambda x: x * lax.rsqrt(y + 1), floats(64, 128))
    assert "rsqrt" not in " ".join(kinds(model))


def test_optimise_refuses_what_has_no_code() -> None:
    text = module("    %0 = stablehlo.bitcast_convert %a : (tensor<4xf32>) -> tensor<4x2xi16>\n"
                  "    %r = stablehlo.bitcast_convert %0 : (tensor<4x2xi16>) -> tensor<4xf32>")
    with pytest.raises(CompileError, match="<input>:3:10: bitcast_convert of f32 to i16"):
        optimise(load(text).module)


def test_a_loop_carried_constant_is_stored() -> None:
    def function(x: Any, n: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: c + i, x)
    model = fused(function, X, np.int32(3))
    loop = next(op for op in main_function(model.module).walk()
                if isinstance(op, HloOp) and op.kind == "while")
    assert all(isinstance(v.owner, HloOp) and v.owner.kind == "fused"
               for v in loop.operands if v.owner is not loop.parent)


def test_printed_stages_are_mlir() -> None:
    text = str(fused(layer, *LAYER).module)
    assert text.startswith("builtin.module {")
    assert '"hlo.fused"' in text


