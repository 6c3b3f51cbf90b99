"""Fast math: what a product reads first and others later is stored, but not loaded for it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.codegen.interface import Donation
from compiler.codegen.lower import Lowered, lower
from compiler.codegen.parts import parts_of
from compiler.frontend import Model, load
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import tensor_of
from compiler.passes import optimise
from compiler.pipeline import Options, compile_module
from hw.config import TINY
from hw.isa.host import Engine
from hw.isa.program import WORKSPACE_WINDOW
from verif.codegen.harness import Array, execute
from verif.codegen.moved import moved
from verif.compiler.models import export, floats, jax, results

BF16 = ml_dtypes.bfloat16
ROWS, NARROW, WIDE = 32, 64, 512
"""The wide value just fills the scratchpad of `tiny`."""
X, RESIDUAL = floats(ROWS, NARROW, dtype=BF16), floats(ROWS, WIDE, seed=1, dtype=BF16)
WEIGHTS = {f"arg{n + 2}": floats(*shape, seed=n + 2, dtype=BF16) / BF16(np.sqrt(shape[0]))
           for n, shape in enumerate([(NARROW, NARROW), (NARROW, WIDE), (WIDE, NARROW),
                                      (NARROW, WIDE)])}
WIDE_BYTES = RESIDUAL.nbytes
relu = jax.nn.relu


def block(x: Any, residual: Any, first: Any, up: Any, down: Any, again: Any) -> Any:
    """A residual block from its narrow layer on, and the next one's."""
    wide = relu(relu(x @ first) @ up + residual)
    return relu(relu(wide @ down) @ again + wide)


def optimised(*, relaxed: bool = True, scratchpad_bytes: int = TINY.scratchpad_bytes) -> Model:
    model = load(export(block, X, RESIDUAL, *WEIGHTS.values()), bind=WEIGHTS)
    optimise(model.module, relaxed=relaxed, scratchpad_bytes=scratchpad_bytes,
             array_cols=TINY.array_cols)
    return model


def columns(model: Model) -> list[list[int]]:
    """Of what each product's group makes."""
    return [[tensor_of(r).shape[-1] for r in op.results]
            for op in main_function(model.module).body.block.ops
            if isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "dot_general"]


def lowered(*, relaxed: bool) -> Lowered:
    model = optimised(relaxed=relaxed)
    return lower(main_function(model.module), TINY, list[Donation]())


def assert_close(function: Callable[..., Any], arguments: list[Array]) -> None:
    """Results under fast math, to what JAX computes."""
    program = compile_module(export(function, *arguments), TINY, Options(fast_math=True))
    for got, exact in zip(execute(program, arguments), results(function, *arguments), strict=True):
        np.testing.assert_allclose(np.asarray(got, np.float32), np.asarray(exact, np.float32),
                                   atol=0.06, rtol=0.02)


def test_a_slice_is_made_twice_and_multiplied_before_the_next_one() -> None:
    _, *pairs, last = columns(optimised())
    assert pairs[::2] == [[WIDE // 8] * 2] * 8  # for the product, and for those who read it later
    assert pairs[1::2] == [[NARROW]] * 8
    assert last == [WIDE]


def test_the_product_loads_none_of_it_and_slices_are_stored_in_their_place() -> None:
    code = lowered(relaxed=True)
    assert moved(code, Engine.STORE, WORKSPACE_WINDOW) == WIDE_BYTES
    assert moved(code, Engine.LOAD, WORKSPACE_WINDOW) == WIDE_BYTES
    assert moved(lowered(relaxed=False), Engine.LOAD, WORKSPACE_WINDOW) >= 2 * WIDE_BYTES


def test_results_on_the_machine_are_close_to_exact() -> None:
    assert_close(lambda x, residual: block(x, residual, *WEIGHTS.values()), [X, RESIDUAL])


SIDE, CHANNELS, FEATURES = 8, 64, 256
"""Of an image."""
IMAGE = [floats(1, SIDE, SIDE, n, seed=n, dtype=BF16) for n in (CHANNELS, FEATURES)]


def conv(x: Any, size: int, features: int, stride: int = 1) -> Any:
    kernel = floats(size, size, x.shape[-1], features, seed=features + size, dtype=BF16)
    return jax.lax.conv_general_dilated(
        x, kernel / BF16(size * np.sqrt(x.shape[-1])), (stride, stride), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"))


def image_block(image: Any, residual: Any) -> Any:
    """A residual block with a window in its middle, from that on, and the next one's."""
    wide = relu(conv(relu(image), 1, FEATURES) + residual)
    return relu(conv(relu(conv(relu(conv(wide, 1, CHANNELS)), 3, CHANNELS)), 1, FEATURES) + wide)


def test_sums_are_made_inside_the_padding_that_their_reader_needs() -> None:
    model = load(export(image_block, *IMAGE))
    optimise(model.module, relaxed=True, scratchpad_bytes=TINY.scratchpad_bytes,
             array_cols=TINY.array_cols)
    function = main_function(model.module)
    ((part, sums),) = Counter(parts_of(function.body.block).values()).most_common(1)
    assert sums == 8
    assert tensor_of(part.whole).shape == (1, SIDE + 2, SIDE + 2, CHANNELS)
    code = lower(function, TINY, list[Donation]())
    assert moved(code, Engine.STORE, WORKSPACE_WINDOW) == IMAGE[1].nbytes
    assert moved(code, Engine.LOAD, WORKSPACE_WINDOW) == IMAGE[1].nbytes
    assert_close(image_block, IMAGE)


def halved_block(image: Any, residual: Any) -> Any:
    """The same block, and the next one at half the lines and positions."""
    wide = relu(conv(relu(image), 1, FEATURES) + residual)
    narrow = relu(conv(relu(conv(wide, 1, CHANNELS)), 3, CHANNELS, 2))
    return relu(conv(narrow, 1, FEATURES) + conv(wide, 1, FEATURES, 2))


def early_shortcut(image: Any, residual: Any) -> Any:
    """The shortcut is made before the first product's result is used any further."""
    wide = relu(conv(relu(image), 1, FEATURES) + residual)
    sums = conv(wide, 1, CHANNELS)
    shortcut = conv(wide, 1, FEATURES, 2)
    return relu(conv(relu(conv(relu(sums), 3, CHANNELS, 2)), 1, FEATURES) + shortcut)


def of_some_columns(image: Any, residual: Any) -> Any:
    """What reads the value later reads a few columns, of which most slices have none."""
    wide = relu(conv(relu(image), 1, FEATURES) + residual)
    narrow = relu(conv(relu(conv(wide, 1, CHANNELS)), 3, CHANNELS, 2))
    return relu(conv(narrow, 1, 8) + wide[:, ::2, ::2, 40:48])


LARGE_SIDE = 16
LARGE = [floats(1, LARGE_SIDE, LARGE_SIDE, n, seed=n, dtype=BF16) for n in (CHANNELS, FEATURES)]


@pytest.mark.parametrize("function", [halved_block, early_shortcut, of_some_columns])
@pytest.mark.parametrize("side", [LARGE_SIDE, LARGE_SIDE - 1])
def test_bands_of_lines_leave_room_for_sums(side: int, function: Callable[..., Any]) -> None:
    """Input and sums fill the scratchpad: with sums of half the lines there is room for slices. Of
    the wide value no more is stored than the next block's shortcut reads."""
    arguments = [x[:, :side] for x in LARGE]
    module = export(function, *arguments)
    machine = replace(TINY, scratchpad_bytes=64 * 1024)
    program = compile_module(module, machine, Options(fast_math=True))
    (got,), (exact,) = execute(program, arguments), results(function, *arguments)
    np.testing.assert_allclose(np.asarray(got, np.float32), np.asarray(exact, np.float32),
                               atol=0.06, rtol=0.02)
    model = load(module)
    optimise(model.module, relaxed=True, scratchpad_bytes=machine.scratchpad_bytes,
             array_cols=TINY.array_cols)
    shapes = [tensor_of(r).shape for op in main_function(model.module).body.block.ops
              if isinstance(op, HloOp) for r in op.results]
    assert shapes.count((1, side // 2, LARGE_SIDE, FEATURES // 16)) >= 16
    assert (1, side, LARGE_SIDE, FEATURES) not in shapes


def of_a_product_itself(x: Any, first: Any, up: Any, down: Any, again: Any) -> Any:
    wide = relu(x @ first) @ up
    return relu(relu(wide @ down) @ again + wide)


def test_a_result_of_the_program_may_be_made_so() -> None:
    def returned(x: Any, residual: Any) -> Any:
        first, up, down, _ = WEIGHTS.values()
        wide = relu(relu(x @ first) @ up + residual)
        return relu(wide @ down), wide

    assert_close(returned, [X, RESIDUAL])


def test_what_a_product_makes_alone_stays_whole() -> None:
    """There is no elementwise work that could hand it on twice."""
    assert_close(lambda x: of_a_product_itself(x, *WEIGHTS.values()), [X])


@pytest.mark.parametrize(("scratchpad", "relaxed"), [
    (WIDE_BYTES * 2, True), (TINY.scratchpad_bytes, False), (WIDE_BYTES // 4, True)],
    ids=["it_fits", "bits_are_kept", "no_room"])
def test_otherwise_it_stays_whole(scratchpad: int, relaxed: bool) -> None:
    model = optimised(relaxed=relaxed, scratchpad_bytes=scratchpad)
    assert columns(model) == [[NARROW], [WIDE], [NARROW], [WIDE]]
