"""Transfers and sweeps: what does not depend on their place is found once, what does moves."""

from compiler.codegen.commands import moved
from compiler.codegen.contraction_sweep import Form, Line, Tile, sweep
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.transfer import Level, Pattern, Transfer, load, store
from compiler.errors import Location
from hw.config import load as load_config
from hw.isa.dtypes import DType
from hw.isa.params import DmaParam

DEFAULT = load_config("default")
STEPS = [Step(16, 2, 2), Step(4, 64, 32)]


def test_copies_that_differ_in_place_share_all_else() -> None:
    places = ((0, 0), (4096, 256))
    (near,), (far,) = (list(transfers(1, offset, local, STEPS, DType.BF16, DType.BF16))
                       for offset, local in places)
    for make in (load, store):
        a, b = (make(DEFAULT, transfer, Location()) for transfer in (near, far))
        assert a.parameters is b.parameters
        distances = (4096, 256) if make is load else (256, 4096)
        assert b.reads == (moved(a.reads[0], distances[0]),)
        assert b.writes == (moved(a.writes[0], distances[1]),)
        assert (a.b, b.b) == (0, 256)
        assert b.words[0] - a.words[0] == 4096 << 32


def test_padding_and_indices_are_parameters_of_one_command_only() -> None:
    pattern = Pattern(16, (Level(4, 2, 32),), DType.BF16, DType.BF16)
    plain = load(DEFAULT, Transfer(1, 0, 0, pattern), Location())
    padded = load(DEFAULT, Transfer(1, 0, 0, pattern), Location(), pad=0x3F80)
    indexed = load(DEFAULT, Transfer(1, 0, 0, pattern, 512, (64, 128)), Location())
    assert padded.parameters == plain.parameters | {DmaParam.PAD: 0x3F80}
    assert indexed.parameters == plain.parameters | {DmaParam.INDEX_BASE: 512}
    assert indexed.reads == ((1, 64, 128), (8, 512, 512 + 4 * 4))
    assert load(DEFAULT, Transfer(1, 0, 0, pattern), Location()).parameters == plain.parameters


def test_rows_that_do_not_exist_are_not_read() -> None:
    pattern = Pattern(16, (Level(4, 64, 32, 1, 3),), DType.BF16, DType.BF16, 2, 10)
    (interval,) = Transfer(1, 1000, 0, pattern).dram_intervals()
    assert interval == (1, 1000 + 64 + 4, 1000 + 128 + 20)
    nothing = Pattern(16, (Level(4, 64, 32, 3, 3),), DType.BF16, DType.BF16)
    assert Transfer(1, 1000, 0, nothing).dram_intervals() == ()


def test_sweeps_that_differ_in_place_share_all_else() -> None:
    form = Form(16, 16, 128, False, ((1, 0, 1),), False, True)
    a, b = (command for tile in (Tile(0, 0, 0, form), Tile(4096, 512, 7, form))
            for command in sweep(DEFAULT, tile, Line(1), Line(4, 32, 0, 1), Location()))
    assert a.parameters is b.parameters
    assert a.repeat is b.repeat
    rows = 7 * DEFAULT.accumulator_row_bytes
    assert b.reads == tuple(moved(interval, distance) for interval, distance in zip(
        a.reads, (4096, 512, rows), strict=True))
    assert b.writes == (moved(a.writes[0], rows),)
