"""The program file and the manual."""

import re
from pathlib import Path

import numpy as np
import pytest

from hw.config import DEFAULT, TINY
from hw.isa.manual import manual
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW, Program, ProgramError, Tensor, from_bytes
from hw.isa.program import load as load_program


def example() -> Program:
    return Program(
        TINY, np.array([1, 2], np.uint64), b"constants",
        [Tensor("arg0", "f32", (2, 3), INPUT_WINDOW, 0)],
        [Tensor("out0", "bf16", (6,), OUTPUT_WINDOW, 64)], 24, 76, 128,
        [(0, "dot_general at model.mlir:3:5"), (1, "add")], {"macs": 12})


def test_round_trip() -> None:
    program = example()
    again = from_bytes(program.to_bytes(), TINY)
    np.testing.assert_array_equal(again.text, program.text)
    again.text = program.text
    assert again == program
    assert [again.source_of(pc) for pc in (0, 1, 5)] == [
        "dot_general at model.mlir:3:5", "add", "add"]


@pytest.mark.parametrize(("damage", "reason"), [
    (lambda b: b[:-1], "truncated"), (lambda b: b[:0], "not an Isthmus program"),
    (lambda b: b"\x7fELF" + b[4:], "not an Isthmus program"), (lambda b: b + b"x", "overlong"),
    (lambda b: b[:4] + b"\x09\0" + b[6:], "version 9"),
    (lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:], "checksum"),
])
def test_damaged_files_are_refused(damage: object, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason) as caught:
        from_bytes(damage(example().to_bytes()))  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_is_noticed() -> None:
    content = example().to_bytes()
    for position in range(0, len(content), 7):
        with pytest.raises(ProgramError):
            from_bytes(content[:position] + bytes([content[position] ^ 0x10])
                       + content[position + 1:])


def test_other_configuration_is_refused_by_name() -> None:
    with pytest.raises(ProgramError, match="array_rows") as caught:
        from_bytes(example().to_bytes(), DEFAULT)
    assert "'tiny', not 'default'" in str(caught.value)


def test_tensor_outside_its_window_is_refused() -> None:
    program = example()
    program.output_bytes = 70
    with pytest.raises(ProgramError, match="out0 leaves its window"):
        from_bytes(program.to_bytes())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=re.escape("nothing.isth: No such file")):
        load_program(tmp_path / "nothing.isth")


def test_manual_is_current() -> None:
    committed = Path(__file__).parents[2] / "docs" / "isa.md"
    assert committed.read_text() == manual(), "stale: run `make docs`"
