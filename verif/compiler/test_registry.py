"""The catalogue of operations, and how a package outside the repository adds one."""

from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from compiler.catalog import NATIVE, UNSUPPORTED, catalog, stablehlo_operations
from compiler.errors import CompileError
from compiler.frontend import load
from compiler.ops import registry, unsupported
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import Elementwise
from compiler.ops.registry import Call, NdArray, register, register_template
from compiler.passes import optimise
from compiler.reference import evaluate
from verif.compiler.models import export, floats, jax, module


@pytest.fixture(autouse=True)
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Operations registered by a test are gone after it."""
    monkeypatch.setattr(registry, "_OPERATIONS", dict(registry.operations()))
    monkeypatch.setattr(registry, "_TEMPLATES", dict(registry._TEMPLATES))
    registry.load_extensions.cache_clear()
    yield
    registry.load_extensions.cache_clear()


def double() -> type[Elementwise]:
    """An operation as a package outside would write it."""
    class Double(Elementwise):
        """Twice x."""

        name = "outside.double"
        arity = 1

        def compute(self, call: Call, *operands: NdArray) -> NdArray:
            return np.asarray(operands[0] * 2)

        def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
            return b.fadd(operands[0], operands[0])
    return Double


def test_the_catalogue_covers_the_dialect() -> None:
    rows = {name: (kind, note) for name, kind, note in catalog()}
    names = stablehlo_operations()
    assert len(names) >= 108
    assert {f"stablehlo.{n}" for n in names} <= rows.keys()
    assert all(note for _, note in rows.values())
    assert rows["stablehlo.add"] == (NATIVE, "x + y; integers wrap, i1 is or.")
    assert rows["stablehlo.pad"][0] == NATIVE
    assert rows["stablehlo.fft"][0] == UNSUPPORTED
    assert rows["chlo.erf"][0] == NATIVE


def test_every_refusal_is_of_a_real_operation_nobody_registered() -> None:
    known = set(stablehlo_operations())
    assert set(unsupported.REASONS) <= known
    assert not set(unsupported.REASONS) & set(registry.operations())


def test_every_refused_operation_has_its_own_reason() -> None:
    unexplained = [n for n in stablehlo_operations()
                   if registry.lookup(n) is None and n not in unsupported.REASONS]
    assert unexplained == ["composite", "custom_call"]


def test_a_composite_becomes_a_registered_operation() -> None:
    register(double())
    x = floats(4)
    model = load(export(jax.lax.composite(lambda x: x + x, "outside.double"), x))
    assert '"hlo.outside.double"' in str(model.module)
    optimise(model.module)
    np.testing.assert_array_equal(evaluate(model.module, [x])[0], 2 * x)


def test_a_custom_call_becomes_a_registered_operation() -> None:
    register(double())
    text = module("    %r = stablehlo.custom_call @outside.double(%a) : "
                  "(tensor<4xf32>) -> tensor<4xf32>")
    np.testing.assert_array_equal(evaluate(load(text).module, [floats(4)])[0], 2 * floats(4))


def test_a_custom_call_of_wrong_types_is_refused_at_its_place() -> None:
    register(double())
    text = module("    %r = stablehlo.custom_call @outside.double(%a) : "
                  "(tensor<4xf32>) -> tensor<3xf32>", result="tensor<3xf32>")
    with pytest.raises(CompileError, match=r"<input>:\d+:\d+: outside\.double: result types are "
                                           r"tensor<3xf32>, not tensor<4xf32>"):
        load(text)


def test_an_entry_point_brings_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "outside"

        def load(self) -> None:
            register(double())

    def points(*, group: str) -> list[Any]:
        assert group == "isthmus.operations"
        return [Point()]
    monkeypatch.setattr(metadata, "entry_points", points)
    assert registry.load_extensions() == ("outside",)
    assert registry.lookup("outside.double") is not None


def test_names_are_taken_once() -> None:
    register(double())
    with pytest.raises(ValueError, match=r"outside\.double is registered twice"):
        register(double())
    register_template("outside.double")(lambda: None)
    with pytest.raises(ValueError, match="two code templates"):
        register_template("outside.double")(lambda: None)


def test_an_operation_without_template_is_refused_with_its_place() -> None:
    class Opaque(double()):  # type: ignore[misc]
        """Needs a template and has none."""

        name = "outside.opaque"
        needs_template = True
    register(Opaque)
    text = module("    %r = stablehlo.custom_call @outside.opaque(%a) : "
                  "(tensor<4xf32>) -> tensor<4xf32>")
    with pytest.raises(CompileError, match=r"^<input>:3:10: operation outside\.opaque has no code"):
        optimise(load(text).module)
