"""The example of an operation from outside the repository, found by its entry point."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hw.isa.program import load
from sim.cache import ROOT
from verif.compiler.models import export, jax
from verif.examples.extension import FOLDER, install

X = np.linspace(-4, 4, 256, dtype=np.float32).reshape(8, 32)


def quick_gelu(x: np.ndarray, slope: float) -> np.ndarray:
    return x / (1 + np.exp(-slope * x.astype(np.float64)))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a Python in which the example's package is installed."""
    site = tmp_path_factory.mktemp("site")
    install(site)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}


def isthmus(*arguments: object, environment: Mapping[str, str]) -> str:
    """Standard output of the command."""
    return subprocess.run(
        [sys.executable, "-m", "isthmus.cli", *map(str, arguments)], env=environment, check=True,
        capture_output=True, text=True).stdout


def compiled_and_run(model: Path, environment: Mapping[str, str]) -> tuple[int, np.ndarray]:
    """Length and result of the program of a model of one argument."""
    program, outputs = model.with_suffix(".isth"), model.with_suffix(".npz")
    isthmus("compile", model, "-o", program, "--config", "tiny", environment=environment)
    inputs = model.with_suffix(".in.npz")
    np.savez(inputs, arg0=X)
    isthmus("run", program, "--inputs", inputs, "--outputs", outputs, environment=environment)
    with np.load(outputs) as file:
        return len(load(program).text), file["out0"]


def test_composite(installed: Mapping[str, str], tmp_path: Path) -> None:
    """Its template is shorter than the decomposition, which any other installation uses."""
    text = (FOLDER / "model.mlir").read_text()
    lengths = []
    for name, environment in (("with", installed), ("without", {**os.environ})):
        model = tmp_path / f"{name}.mlir"
        model.write_text(text)
        length, result = compiled_and_run(model, {"PYTHONPATH": str(ROOT), **environment})
        np.testing.assert_allclose(result, quick_gelu(X, 1.5) + X, rtol=1e-6)
        lengths.append(length)
    assert lengths[0] < lengths[1]


def test_custom_call_with_attributes(installed: Mapping[str, str], tmp_path: Path) -> None:
    def function(x: jax.Array) -> jax.Array:
        call = jax.ffi.ffi_call("acme.quick_gelu", jax.ShapeDtypeStruct(x.shape, x.dtype))
        return call(x, slope=np.float32(0.5))
    model = tmp_path / "call.mlir"
    model.write_text(export(function, X))
    _, result = compiled_and_run(model, installed)
    np.testing.assert_allclose(result, quick_gelu(X, 0.5), rtol=1e-6)


def test_catalogue(installed: Mapping[str, str]) -> None:
    rows = isthmus("ops", environment=installed).splitlines()
    assert [row.split()[1] for row in rows if row.startswith("acme.quick_gelu ")] == ["native"]
