"""Chains of convolutions in bands of lines: the same bits as operation by operation."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import jax
import numpy as np
import pytest
from ml_dtypes import bfloat16

from benchmarks.networks.traffic import predict
from compiler.codegen.commands import Command
from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp
from compiler.passes.chain_cuts import Pieces
from compiler.passes.chains import Chain, are_read_later, read_outside, slice_outside
from compiler.pipeline import compile_module
from hw.config import load as load_config
from sim import model
from verif.codegen.chains import (
    NUMBERS,
    assert_same_bits,
    conv,
    draw,
    inverted,
    recorded,
)
from verif.codegen.harness import execute
from verif.compiler.models import export

TINY = load_config("tiny")


def residual(x: Any) -> Any:
    return jax.nn.relu(x + conv(jax.nn.relu(conv(x, 3, 8)), 3, x.shape[-1]))


def projected(x: Any) -> Any:
    """A residual of another shape: the other summand is a product of the input."""
    y = conv(jax.nn.relu(conv(jax.nn.relu(conv(x, 1, 8)), 3, 8)), 1, 24)
    return jax.nn.relu(conv(x, 1, 24) + y)


def bottleneck(x: Any) -> Any:
    y = jax.nn.relu(conv(jax.nn.relu(conv(x, 1, 16)), 3, 16))
    return jax.nn.relu(x + conv(y, 1, x.shape[-1]))


def stem(x: Any) -> Any:
    y = jax.nn.relu(conv(x, 7, 8, 2))
    return jax.lax.reduce_window(y, np.array(-np.inf, bfloat16), jax.lax.max, (1, 3, 3, 1),
                                 (1, 2, 2, 1), "SAME")


CHAINS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "inverted": (inverted, (1, 26, 23, 12)),
    "strided": (lambda x: inverted(x, stride=2), (1, 27, 22, 12)),
    "valid": (lambda x: inverted(x, padding="VALID"), (1, 26, 23, 12)),
    "dilated": (lambda x: inverted(x, dilation=2), (1, 26, 23, 12)),
    "two_blocks": (lambda x: inverted(inverted(x)), (1, 24, 24, 10)),
    "growing": (lambda x: inverted(inverted(conv(x, 3, 12, 2)), stride=2), (1, 49, 40, 3)),
    "residual": (residual, (1, 65, 40, 8)),
    "residual_twice": (lambda x: residual(residual(x)), (1, 65, 40, 8)),
    "projected": (projected, (1, 65, 60, 8)),
    "projected_and_residual": (lambda x: residual(projected(x)), (1, 49, 30, 8)),
    "bottleneck": (bottleneck, (1, 97, 40, 32)),
    "dilated_convolution": (lambda x: conv(conv(x, 3, 8, 1, 2), 3, 8), (1, 65, 40, 8)),
    "stem": (stem, (1, 81, 77, 3)),
    "stem_and_blocks": (lambda x: residual(residual(stem(x))), (1, 129, 129, 3)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = CHAINS[name]
    counts = recorded(monkeypatch, "_cut")
    assert_same_bits(function, [draw(*shape)])
    assert counts
    assert min(counts) > 1


@pytest.mark.parametrize("name", ["residual_twice", "projected", "bottleneck", "stem"])
def test_bits_in_turn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits when each band passes all stages before the next one begins."""
    function, shape = CHAINS[name]
    passes = import_module("compiler.passes.bands")
    parts_of = passes.parts_of
    monkeypatch.setattr(passes, "parts_of", lambda *arguments: [
        (part, replace(pieces, in_turn=True)) for part, pieces in parts_of(*arguments)])
    counts = recorded(monkeypatch, "_cut")
    assert_same_bits(function, [draw(*shape)])
    assert counts


@pytest.mark.parametrize("name, in_turn", [("residual_twice", False), ("stem_and_blocks", True)])
def test_results_that_later_parts_read(name: str, in_turn: bool, monkeypatch: pytest.MonkeyPatch
                                       ) -> None:
    """Results of inner stages, of poolings among them, are stored for the parts behind."""
    function, shape = CHAINS[name]
    passes, found = import_module("compiler.passes.bands"), []

    def first_stages(chain: Chain, *_: int) -> list[tuple[Chain, Pieces]]:
        part = chain.part(0, 3)
        found.append(read_outside(part))
        return [(part, Pieces(4, in_turn=in_turn))]

    monkeypatch.setattr(passes, "parts_of", first_stages)
    assert_same_bits(function, [draw(*shape)])
    assert found
    assert all(found)


def strided_shortcut(x: Any) -> Any:
    """A block at half the lines: its shortcut reads every second line and position."""
    x = jax.nn.relu(conv(jax.nn.relu(conv(x, 3, 16)), 3, 24))
    y = jax.nn.relu(conv(jax.nn.relu(conv(x, 1, 16)), 3, 16, 2))
    return jax.nn.relu(conv(y, 1, 40) + conv(x, 1, 40, 2))


@pytest.mark.parametrize("count", [3, 7, 33])
@pytest.mark.parametrize("in_turn", [False, True])
def test_of_a_result_that_is_read_in_strides_no_more_is_stored(
        count: int, in_turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of an even and an odd number of lines, and of a single one."""
    passes, taken = import_module("compiler.passes.bands"), list[HloOp | None]()

    def first_stages(chain: Chain, *_: int) -> list[tuple[Chain, Pieces]]:
        part = chain.part(0, 3)
        taken.extend(slice_outside(part, number) for number in read_outside(part))
        return [(part, Pieces(count, in_turn=in_turn))]

    monkeypatch.setattr(passes, "parts_of", first_stages)
    argument = draw(1, 33, 24, 8)
    assert_same_bits(strided_shortcut, [argument])
    assert [op.tensor.shape for op in taken if op is not None] == [(1, 17, 12, 24)]
    module = export(strided_shortcut, argument)
    strided = predict(compile_module(module, TINY), [argument]).bytes_written
    monkeypatch.setattr(passes, "slice_outside", lambda *_: None)
    whole = predict(compile_module(module, TINY), [argument]).bytes_written
    assert strided < whole


@pytest.mark.parametrize("name", ["residual", "bottleneck", "projected"])
def test_bits_when_stages_share_an_input(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = CHAINS[name]
    passes = import_module("compiler.passes.bands")
    monkeypatch.setattr(passes, "parts_of", lambda chain, *_: [
        (chain, Pieces(16, in_turn=True, copies=True))])
    assert_same_bits(function, [draw(*shape)])


def test_an_input_that_stages_share_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes, argument = import_module("compiler.passes.bands"), draw(1, 56, 56, 256)
    module, machine = export(bottleneck, argument), load_config("default")
    parts_of, found, loaded = passes.parts_of, [], []
    for copies in (True, False):
        def noted(*arguments: Any, may: bool = copies) -> list[tuple[Chain, Pieces]]:
            found.extend(parts := parts_of(*arguments))
            return [(part, replace(pieces, copies=may)) for part, pieces in parts]

        monkeypatch.setattr(passes, "parts_of", noted)
        loaded.append(predict(compile_module(module, machine), [argument]).bytes_read)
    assert all(pieces.copies for _, pieces in found)
    assert loaded[1] - loaded[0] > 0.9 * argument.nbytes


def test_results_that_are_read_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortcut that stands between a part's operations cannot read what the part stores."""
    passes, found = import_module("compiler.passes.bands"), list[bool]()

    def function(x: Any) -> Any:
        x = jax.nn.relu(conv(x, 3, 16))
        y = jax.nn.relu(conv(x, 1, 16))
        shortcut = conv(x, 1, 24)
        return jax.nn.relu(conv(jax.nn.relu(conv(y, 3, 16)), 1, 24) + shortcut)

    def noted(chain: Chain, *_: int) -> list[tuple[Chain, Pieces]]:
        found.extend(are_read_later(chain.part(0, end)) for end in (2, 3, 4))
        return []

    argument = draw(1, 33, 12, 8)
    monkeypatch.setattr(passes, "parts_of", noted)
    compile_module(export(function, argument), TINY)
    assert found == [True, False, True]
    monkeypatch.undo()
    assert_same_bits(function, [argument])


def test_parts_store_what_the_next_one_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part ends where there is room, though a part behind reads an inner result of it."""
    passes, found = import_module("compiler.passes.bands"), []
    cut = passes._cut

    def noted(chain: Chain, *rest: Any) -> None:
        found.append(read_outside(chain))
        cut(chain, *rest)

    monkeypatch.setattr(passes, "_cut", noted)
    compile_module(export(lambda x: bottleneck(bottleneck(x)), draw(1, 65, 20, 64)), TINY)
    assert any(found)


def test_bands_in_turn_are_higher(monkeypatch: pytest.MonkeyPatch) -> None:
    """One band of each value leaves room for more lines than one for each stage that waits."""
    passes, cuts = (import_module(f"compiler.passes.{name}") for name in ("bands", "chain_cuts"))
    bands = []

    def noted(chain: Any, count: int, in_turn: bool) -> None:
        costs = cuts._Costs(chain, TINY.scratchpad_bytes, TINY.array_cols)
        bands.append((in_turn, count, costs._fewest(0, len(chain.stages))))

    monkeypatch.setattr(passes, "_cut", noted)
    function, shape = CHAINS["bottleneck"]
    compile_module(export(function, draw(*shape)), TINY)
    (in_turn, count, one_after_the_other), = bands
    assert in_turn
    assert count < one_after_the_other


LONGER: dict[str, tuple[Any, tuple[int, ...]]] = {
    **CHAINS,
    "shared_input": (lambda x: bottleneck(bottleneck(conv(x, 1, 256))), (1, 56, 56, 64)),
    "to_a_shortcut": (lambda x: bottleneck(strided_shortcut(bottleneck(x))), (1, 65, 40, 32)),
}


@pytest.mark.parametrize("config", ["tiny", "default"])
@pytest.mark.parametrize("name", LONGER)
def test_cuts_are_the_best_of_all(name: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that are not looked into cannot be the best."""
    passes, cuts = (import_module(f"compiler.passes.{name}") for name in ("bands", "chain_cuts"))
    parts_of, before, compared = cuts.parts_of, cuts._Costs.before, []

    def noted(*given: Any) -> list[tuple[Chain, Pieces]]:
        found: list[tuple[Chain, Pieces]] = parts_of(*given)
        with monkeypatch.context() as patch:
            patch.setattr(cuts._Costs, "before", lambda self, end, _: before(
                self, end, lambda _: 1 << 62))
            compared.append((found, parts_of(*given)))
        return found

    monkeypatch.setattr(passes, "parts_of", noted)
    function, shape = LONGER[name]
    compile_module(export(function, draw(*shape)), load_config(config))
    assert compared
    for found, best in compared:
        assert found == best


def test_products_in_turn_follow_each_other_column_by_column(monkeypatch: pytest.MonkeyPatch
                                                             ) -> None:
    """The first column's tiles are commands of their own: they need not wait for all of k."""
    passes, loop = (import_module(f"compiler.{name}")
                    for name in ("passes.bands", "codegen.contraction_loop"))
    monkeypatch.setattr(passes, "parts_of", lambda chain, *_: [(chain, Pieces(28, in_turn=True))])
    module = export(lambda x: conv(jax.nn.relu(conv(x, 1, 256)), 1, 64), draw(1, 28, 56, 64))
    following = model.run(compile_module(module, load_config("default"))).cycles
    monkeypatch.setattr(loop, "_single", lambda tiles: tiles)
    waiting = model.run(compile_module(module, load_config("default"))).cycles
    assert following < 0.99 * waiting


def test_products_that_are_added_are_steady_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands before and behind keep the array busy for them as well."""
    passes, found = import_module("compiler.passes.bands"), list[bool]()
    replace_chain = passes._replace

    def noted(chain: Chain, made: Any, *rest: Any) -> None:
        found.extend("beside" in op.attrs for op in made if is_contraction(op))
        replace_chain(chain, made, *rest)

    monkeypatch.setattr(passes, "_replace", noted)
    function, shape = CHAINS["projected"]
    compile_module(export(function, draw(*shape)), TINY)
    assert len(found) >= 4
    assert all(found)


def test_column_tiles_of_a_band_are_finished_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer commands with the same results, stored and on chip."""
    passes, loop, emit = (import_module(f"compiler.{name}") for name in (
        "passes.bands", "codegen.contraction_loop", "codegen.emit"))
    monkeypatch.setattr(passes, "parts_of", lambda chain, *_: [(chain, Pieces(6, in_turn=True))])
    counts, dependences = list[int](), emit.dependences

    def counted(commands: Sequence[Command]) -> list[list[int]]:
        counts.append(len(commands))
        return dependences(commands)

    def function(x: Any, first: Any, second: Any) -> Any:
        y = jax.nn.relu(jax.lax.conv_general_dilated(
            x, first, (1, 1), "SAME", dimension_numbers=NUMBERS))
        return jax.nn.relu(jax.lax.conv_general_dilated(
            y, second, (1, 1), "SAME", dimension_numbers=NUMBERS))

    arguments = [draw(1, 12, 20, 8), draw(1, 1, 8, 36), draw(1, 1, 36, 28)]
    module = export(function, *arguments)
    monkeypatch.setattr(emit, "dependences", counted)
    together = compile_module(module, TINY)
    monkeypatch.setattr(loop, "steady_tiles", lambda _: 1)
    alone = compile_module(module, TINY)
    assert counts[0] < 0.8 * counts[1], counts
    results, others = (execute(program, arguments) for program in (together, alone))
    assert [r.tobytes() for r in results] == [r.tobytes() for r in others]


def test_bands_have_the_names_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profiler names what a place was compiled to, not each band of it, nor its padding."""
    counts, (function, shape) = recorded(monkeypatch, "_cut"), CHAINS["bottleneck"]
    noted = compile_module(export(function, draw(*shape)), TINY).notes["operations"]
    assert min(counts) > 2
    convolutions = [kinds for kinds in noted.values() if "convolution" in kinds]
    assert convolutions
    for kinds in convolutions:
        assert kinds[0] == "convolution"
        assert kinds.count("convolution") <= 3  # first, inner and last bands


def test_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 chains as well, accumulating in int32."""
    rng = np.random.default_rng(0)
    weights = [rng.integers(-9, 9, s, np.int8) for s in ((1, 1, 12, 36), (3, 3, 1, 36))]
    argument = rng.integers(-9, 9, (1, 34, 31, 12), np.int8)

    def function(x: Any) -> Any:
        y = jax.lax.conv_general_dilated(x, weights[0], (1, 1), "SAME", dimension_numbers=NUMBERS,
                                         preferred_element_type=np.int32)
        y = jax.numpy.clip(y, -99, 99).astype(np.int8)
        return jax.lax.conv_general_dilated(
            y, weights[1], (1, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=36,
            preferred_element_type=np.int32)

    counts = recorded(monkeypatch, "_cut")
    assert_same_bits(function, [argument])
    assert counts


def test_stays_on_chip() -> None:
    """Nothing between the operations visits DRAM: loads and stores are near the least."""
    argument = draw(1, 56, 56, 24)
    program = compile_module(export(inverted, argument), load_config("default"))
    least = 2 * argument.nbytes + 2 * 24 * 72 * 2
    assert predict(program, [argument]).bytes < 2.0 * least


def test_product_is_made_inside_its_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of a product are not copied into their padding, only those of two bands are."""
    copies = import_module("compiler.codegen.copies")
    runs, copy_runs = [], copies.copy_runs

    def noted(context: Any, addresses: Any, run: int, *rest: Any) -> None:
        runs.append(run)
        copy_runs(context, addresses, run, *rest)

    monkeypatch.setattr(copies, "copy_runs", noted)
    counts, (function, shape) = recorded(monkeypatch, "_cut"), CHAINS["inverted"]
    compile_module(export(function, draw(*shape)), TINY)
    two_lines = 2 * (23 + 2) * 36 * 2
    assert set(runs) == {two_lines}
    assert len(runs) < counts[0]
