"""Software special functions against the unit's definition, bit by bit."""

import numpy as np
import pytest

from compiler.codegen import special as software
from compiler.ops.interpret import BitInterpreter
from hw.isa import special
from hw.isa.numerics import Bits

EDGES = np.array([0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x42B17217, 0x42B17218, 0x42B20000,
                  0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x43000000], np.uint32)


@pytest.mark.parametrize("name", sorted(special.FUNCTIONS))
def test_bits(name: str, rng: np.random.Generator) -> None:
    magnitudes = np.concatenate([EDGES, rng.integers(0, 1 << 31, 20_000).astype(np.uint32)])
    around_one = np.float32(rng.normal(0, 30, 20_000)).view(np.uint32)
    a = np.concatenate([magnitudes, magnitudes | np.uint32(1 << 31), around_one])
    table = np.frombuffer(software.table(name), np.uint32)

    def lookup(index: Bits, column: int) -> Bits:
        return table[index + column * software.column_words(name)]

    result = software.expand(BitInterpreter(), name, a, lookup)
    np.testing.assert_array_equal(result, special.FUNCTIONS[name](a))
