"""Groups of lanes as vectors of a simulator."""

import numpy as np
from numpy.typing import NDArray


def to_vector(group: NDArray[np.uint32]) -> int:
    """Lane 0 in the lowest bits."""
    return int.from_bytes(np.ascontiguousarray(group, np.uint32).tobytes(), "little")


def from_vector(vector: int, lanes: int) -> NDArray[np.uint32]:
    return np.frombuffer(vector.to_bytes(4 * lanes, "little"), np.uint32)
