"""The banks of lines: what the hardware's parity masks amount to."""

import pytest

from hw.core.memory.interleave import pair_masks

LINES = 1 << 12


def banks_of(banks: int) -> list[int]:
    masks = pair_masks(LINES, banks)
    return [line & 1 | sum((line & mask).bit_count() % 2 << bit
                           for bit, mask in enumerate(masks, 1)) for line in range(LINES)]


@pytest.mark.parametrize("banks", [2, 4, 8, 16, 32])
def test_every_run_of_aligned_lines_fills_all_banks(banks: int) -> None:
    """So a bank and a row within it, line / banks, name one line."""
    found = banks_of(banks)
    for start in range(0, LINES, banks):
        assert sorted(found[start : start + banks]) == list(range(banks))


@pytest.mark.parametrize("banks", [8, 16, 32])
@pytest.mark.parametrize("log2", range(1, 7))
def test_strides_of_a_power_of_two_use_half_of_the_banks(banks: int, log2: int) -> None:
    """Half, as the lowest bit of a bank is that of the line; in equal shares."""
    found = banks_of(banks)[: (banks // 2) << log2 : 1 << log2]
    assert len(set(found)) == banks // 2
