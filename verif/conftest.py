"""Fixtures shared by all tests."""

import os
import zlib

import numpy as np
import pytest

os.environ["ISTHMUS_VERIFY"] = "1"  # the compiler checks what its passes have made


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone, so every run repeats them."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
