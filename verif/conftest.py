"""Fixtures shared by all tests."""

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone, so every run repeats them."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
