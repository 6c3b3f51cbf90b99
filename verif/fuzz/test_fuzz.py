"""A share of the fuzz campaign small enough for every run of the tests."""

import pytest

from hw.config import load
from verif.fuzz.lockstep import check
from verif.fuzz.malformed import check_files, check_streams


@pytest.mark.parametrize("name", ["tiny", "fpga"])
def test_random_programs_give_the_same_bits(name: str) -> None:
    assert check(load(name), range(100)) == 100


def test_malformed_instruction_streams_end() -> None:
    endings = check_streams(load("tiny"), range(150))
    assert endings.total() == 150
    assert {"illegal", "window", "local"} <= endings.keys()


def test_damaged_program_files_are_refused() -> None:
    assert check_files(load("tiny"), range(300)) == 300


@pytest.mark.full
@pytest.mark.parametrize("name", ["tiny-nosfu", "tiny-noint8", "default"])
def test_more_machines_give_the_same_bits(name: str) -> None:
    assert check(load(name), range(50)) == 50
