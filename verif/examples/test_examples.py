"""The examples against JAX's own results, which are committed beside them."""

from pathlib import Path

import numpy as np
import pytest

import examples
import isthmus
from examples.run import accuracy, read, run_example
from sim.loader import Array

FOLDER = Path(examples.__file__).parent


def _golden(name: str) -> tuple[Array, Array, Array | None]:
    """Outputs of the first batch on the golden model, JAX's, and the labels."""
    weights, data = read(FOLDER / name)
    program = isthmus.compile(FOLDER / name / "model.mlir", bind=weights)
    batch = program.inputs[0].shape[0]
    outputs = isthmus.run(program, [data.inputs[:batch]]).outputs[0]
    return outputs, data.reference[:batch], data.labels


def largest(values: Array) -> float:
    return float(np.max(np.abs(values.astype(float))))


def test_digits_reads_digits() -> None:
    outputs, reference, labels = _golden("digits")
    assert labels is not None
    assert np.array_equal(outputs.argmax(axis=1), reference.argmax(axis=1))
    assert np.mean(outputs.argmax(axis=1) == labels[: len(outputs)]) > 0.9
    # One bfloat16 rounding of an activation that falls the other way moves a score by about this.
    assert largest(outputs.astype(float) - reference.astype(float)) < 0.005 * largest(reference)


def test_encoder_is_jax_up_to_rounding() -> None:
    outputs, reference, _ = _golden("encoder")
    assert largest(outputs.astype(float) - reference.astype(float)) < 0.005 * largest(reference)


def test_committed_network_is_accurate() -> None:
    _, data = read(FOLDER / "digits")
    assert "98." in accuracy(data.reference, data)


@pytest.mark.full
@pytest.mark.parametrize("name", ["digits", "encoder"])
@pytest.mark.parametrize("config", ["tiny", "tiny-nosfu", "fpga"])
def test_golden_and_rtl_agree(name: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_example(name, config, batches=1)
    assert "golden == RTL" in capsys.readouterr().out
