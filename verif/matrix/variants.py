"""The machines the matrix unit is tested on, by name."""

from hw import config
from hw.config import TINY, AcceleratorConfig

_SHAPES = {"tall": TINY.replace(array_rows=8), "wide": TINY.replace(array_cols=8)}
"""Arrays that are not square."""


def variant(name: str) -> AcceleratorConfig:
    """One of the shapes above, or what `hw.config.load` takes."""
    return _SHAPES.get(name) or config.load(name)
