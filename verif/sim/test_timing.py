"""What kernels cost when others are at the scratchpad, too."""

import pytest

from hw.config import DEFAULT
from hw.timing import LANE_LATENCY, OUTPUT_LATENCY, STREAM_LATENCY, KernelWork, refused

AROUND = STREAM_LATENCY + OUTPUT_LATENCY + LANE_LATENCY


def work(issue: int, accesses: dict[int, int], crowded: frozenset[int]) -> int:
    """Cycles of a kernel whose ports meet an access of another engine in every cycle."""
    return KernelWork(DEFAULT, issue + LANE_LATENCY, accesses, crowded).cycles(1.0, 1.0) - AROUND


def test_every_rival_is_met_in_one_of_the_banks() -> None:
    assert refused(DEFAULT, 2) == 2 / DEFAULT.scratchpad_banks


def test_a_kernel_of_one_group_a_cycle_waits_for_its_last_stream() -> None:
    cycles = work(1000, {0: 1000, 1: 1000}, frozenset((0, 1)))
    assert cycles == pytest.approx(1000 / (1 - 2 / DEFAULT.scratchpad_banks), abs=1)


def test_inputs_and_outputs_do_not_meet() -> None:
    assert work(1000, {0: 1000, 4: 1000}, frozenset((0, 4))) == work(
        1000, {0: 1000}, frozenset((0,)))


def test_refusals_hide_behind_instructions() -> None:
    assert work(2000, {0: 1000}, frozenset((0,))) == 2000


def test_streams_in_the_accumulators_meet_nobody() -> None:
    assert work(1000, {0: 1000, 4: 1000}, frozenset()) == 1000
