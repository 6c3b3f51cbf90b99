"""Fast math: two products whose value in between does not fit the scratchpad."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.frontend import Model, load
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import tensor_of
from compiler.passes import optimise
from compiler.reference import evaluate
from verif.compiler.models import export, floats, jax

BF16 = ml_dtypes.bfloat16
ROWS, WIDTH, HIDDEN = 16, 64, 512
X = floats(ROWS, WIDTH, dtype=BF16)
WEIGHTS = {"arg1": floats(WIDTH, HIDDEN, seed=1, dtype=BF16) / BF16(8),
           "arg2": floats(HIDDEN, WIDTH, seed=2, dtype=BF16) / BF16(16)}
HIDDEN_BYTES = ROWS * HIDDEN * 2
WIDE = floats(ROWS, 256, seed=3, dtype=BF16)
WIDE_WEIGHTS = {"arg1": floats(256, HIDDEN, seed=4, dtype=BF16) / BF16(16),
                "arg2": floats(HIDDEN, 128, seed=5, dtype=BF16) / BF16(16)}


def feed_forward(x: Any, up: Any, down: Any) -> Any:
    return x + jax.nn.relu(x @ up) @ down


def optimised(scratchpad_bytes: int, *, relaxed: bool = True, accumulator_bytes: int = 1 << 30
              ) -> Model:
    model = load(export(feed_forward, X, *WEIGHTS.values()), bind=WEIGHTS)
    optimise(model.module, relaxed=relaxed, scratchpad_bytes=scratchpad_bytes,
             accumulator_bytes=accumulator_bytes)
    return model


def results(model: Model) -> list[tuple[str, int]]:
    """Element type and columns of what each product's group makes."""
    made = [op.tensor for op in main_function(model.module).body.block.ops
            if isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "dot_general"]
    return [(str(tensor.element), tensor.shape[-1]) for tensor in made]


def test_each_slice_is_multiplied_before_the_next_is_made() -> None:
    model = optimised(HIDDEN_BYTES * 3 // 4)
    columns = [n for _, n in results(model)]
    assert columns[1::2] == [WIDTH] * (len(columns) // 2)
    assert sum(columns[::2]) == HIDDEN
    assert max(columns[::2]) < HIDDEN


def test_sums_are_stored_narrow_and_close_to_exact() -> None:
    model = optimised(HIDDEN_BYTES * 3 // 4)
    block = main_function(model.module).body.block
    assert {tensor_of(r).element.numpy for op in block.ops if isinstance(op, HloOp)
            and op.kind == "fused" for r in op.results} == {np.dtype(BF16)}
    (result,) = evaluate(model.module, [X])
    wide = [np.asarray(a, np.float32) for a in (X, *WEIGHTS.values())]
    np.testing.assert_allclose(np.asarray(result, np.float32), feed_forward(*wide), atol=0.06)


def wide_model(x: Any, up: Any, down: Any) -> Any:
    return jax.nn.relu(x @ up) @ down


def by_itself(*, accumulator_bytes: int = ROWS * 16 * 4, relaxed: bool = True) -> Model:
    """A block whose input leaves no room for a slice of what it is multiplied to."""
    model = load(export(wide_model, WIDE, *WIDE_WEIGHTS.values()), bind=WIDE_WEIGHTS)
    optimise(model.module, relaxed=relaxed, scratchpad_bytes=WIDE.nbytes,
             accumulator_bytes=accumulator_bytes)
    return model


def test_a_product_is_sliced_alone_when_its_input_leaves_no_room() -> None:
    columns = [n for _, n in results(by_itself())]
    assert columns[0] == HIDDEN
    assert len(columns) > 2
    assert set(columns[1:]) == {WIDE_WEIGHTS["arg2"].shape[1]}


def test_slices_of_a_product_alone_add_up() -> None:
    model = by_itself()
    (result,) = evaluate(model.module, [WIDE])
    wide = [np.asarray(a, np.float32) for a in (WIDE, *WIDE_WEIGHTS.values())]
    np.testing.assert_allclose(np.asarray(result, np.float32), wide_model(*wide), atol=0.06)


@pytest.mark.parametrize(("accumulators", "relaxed"), [(1 << 20, True), (ROWS * 16 * 4, False)],
                         ids=["one_block", "bits_are_kept"])
def test_a_product_alone_stays_whole(accumulators: int, relaxed: bool) -> None:
    assert len(results(by_itself(accumulator_bytes=accumulators, relaxed=relaxed))) == 2


@pytest.mark.parametrize(("scratchpad", "relaxed"), [
    (HIDDEN_BYTES * 2, True), (HIDDEN_BYTES * 3 // 4, False), (HIDDEN_BYTES // 8, True)],
    ids=["it_fits", "bits_are_kept", "too_many_slices"])
def test_otherwise_there_are_two_products(scratchpad: int, relaxed: bool) -> None:
    assert len(results(optimised(scratchpad, relaxed=relaxed))) == 2


IMAGE = floats(1, 6, 6, 256, seed=6, dtype=BF16)
KERNEL = floats(3, 3, 256, 128, seed=7, dtype=BF16) / BF16(48)


def windows(x: Any, kernel: Any) -> Any:
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME",
                                        dimension_numbers=("NHWC", "HWIO", "NHWC"))


def convolutions(scratchpad_bytes: int) -> Model:
    model = load(export(windows, IMAGE, KERNEL), bind={"arg1": KERNEL})
    optimise(model.module, relaxed=True, scratchpad_bytes=scratchpad_bytes)
    return model


@pytest.mark.parametrize(("scratchpad_bytes", "count"), [
    (IMAGE.nbytes * 3 // 2, 1), (IMAGE.nbytes * 5 // 4, 4), (IMAGE.nbytes // 8, 1)])
def test_a_convolution_goes_slice_by_slice_of_channels(scratchpad_bytes: int, count: int) -> None:
    """Where its input does not fit, but a few slices of it do, one after the other."""
    model = convolutions(scratchpad_bytes)
    groups = [op for op in main_function(model.module).body.block.ops
              if isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "convolution"]
    assert len(groups) == count
    (result,) = evaluate(model.module, [IMAGE])
    wide = windows(*(np.asarray(a, np.float32) for a in (IMAGE, KERNEL)))
    np.testing.assert_allclose(np.asarray(result, np.float32), wide, atol=0.06)
