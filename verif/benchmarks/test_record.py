"""Records of measured networks: what replaces what, and how they are shown."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.networks import against_iree, record
from benchmarks.networks.against_iree import Comparison, Cost
from benchmarks.networks.plot import picture
from benchmarks.networks.record import Record, keep, load, networks, products, table

BASE = Record(network="resnet18", config="default", mode="exact", cycles=8_000_000,
              predicted=7_900_000, limit=7_086_224, macs=1_814_073_344, peak=256,
              moved=40_000_000, compulsory=25_000_000, compile_seconds=3.0, instructions=1000,
              digest="a", deviation=0.01)


@pytest.fixture(autouse=True)
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(record, "RECORDS", tmp_path / "results.json")


def test_a_run_of_the_model_keeps_what_the_rtl_measured_of_the_same_program() -> None:
    keep(BASE)
    keep(replace(BASE, cycles=None, deviation=None, moved=1, unfused_cycles=2.0,
                 unfused_bytes=3.0))
    (kept,) = load()
    assert (kept.cycles, kept.moved, kept.deviation) == (8_000_000, 40_000_000, 0.01)
    assert (kept.unfused_cycles, kept.unfused_bytes) == (2.0, 3.0)


def test_another_program_replaces_everything() -> None:
    keep(BASE)
    keep(replace(BASE, cycles=None, deviation=None, digest="b"))
    (kept,) = load()
    assert kept.cycles is None


def test_the_table_marks_what_was_missed() -> None:
    line = table([BASE]).splitlines()[-1]
    assert "8,000,000" in line
    assert "90 % of peak: **missed**" in line
    assert "1.60 (at most 1.4: **missed**)" in line
    assert "-1.2 %" in line


def test_products_are_a_table_of_their_own() -> None:
    small, deep = (replace(BASE, network=f"product_64x256x{k}", cycles=cycles)
                   for k, cycles in ((64, 8_000_000), (2048, None)))
    assert networks([BASE, small, deep]) == [BASE]
    assert products([deep, BASE, small]).splitlines() == [
        "| m x n | k = 64 | k = 2048 |", "|---|---|---|",
        "| 64 x 256 | 88.6 % | 89.7 % (model) |"]


def test_the_picture_has_a_bar_for_each_record() -> None:
    drawn = ElementTree.fromstring(picture([BASE, replace(BASE, mode="fast_math")]))
    bars = [r for r in drawn.iter("{http://www.w3.org/2000/svg}rect") if r.get("height") == "9"]
    assert [float(b.get("width", 0)) for b in bars] == pytest.approx([420 * 0.8858] * 2, rel=1e-3)


def test_compile_times_are_kept_for_each_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path
                                                 ) -> None:
    monkeypatch.setattr(against_iree, "RECORDS", tmp_path / "compile_times.json")
    slow, fast = (Comparison("resnet50", Cost(seconds, 2 * seconds), Cost(4.0, 6.0))
                  for seconds in (8.0, 2.0))
    other = replace(slow, network="gpt2_decode")
    against_iree.keep([slow, other])
    against_iree.keep([fast])
    assert against_iree.load() == [fast, other]
    assert "| resnet50 | 2.00 s | 4.00 s | 0.50 | 4.00 s | 6.00 s |" in against_iree.table([fast])
