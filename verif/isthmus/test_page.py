"""The page of `isthmus report`: well-formed, complete in itself, escaped, its tables add up."""

import re
from html.parser import HTMLParser

import pytest

from isthmus.report.profile import Profile
from isthmus.report.svg import LinearAxis, LogAxis, add, drawing, short, text_of
from verif.isthmus.conftest import HOSTILE

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Checks that elements nest; collects links, cells by section, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.section = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values[name] or "" for name in ("src", "href") if name in values]
        if tag == "section":
            self.section = values["id"] or ""
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.rows[self.section][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.rows[self.section][-1][-1] += data


@pytest.fixture
def reader(html: str) -> Reader:
    return Reader(html)


def _number(cell: str) -> float:
    return float(cell.strip().removesuffix("%").replace(",", "") or 0)


def test_complete_in_itself(html: str, reader: Reader) -> None:
    assert [link for link in reader.links if link != "data:,"] == []
    without_namespace = html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|url\(|@import", without_namespace)
    assert reader.tags.count("svg") == 2


def test_names_are_escaped(html: str, reader: Reader) -> None:
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;alert") == 3
    assert reader.tags.count("script") == 1
    assert "tanh &amp; more" in html


def test_cycles_add_up(reader: Reader, profiled: Profile) -> None:
    rows = [row for row in reader.rows["operations"] if row and row[0].strip()]
    cycles = [_number(row[1]) for row in rows]
    assert sum(cycles[:-1]) == cycles[-1] == profiled.trace.cycles
    assert sum(_number(row[2]) for row in rows[:-1]) == pytest.approx(100, abs=0.5)
    assert _number(rows[-1][2]) == 100
    for column in range(3, 9):
        assert sum(_number(row[column]) for row in rows[:-1]) == _number(rows[-1][column])


def test_stalls_add_up(reader: Reader) -> None:
    rows = [row for row in reader.rows["stalls"] if row[0].strip()]
    assert len(rows) == 5
    for row in rows:
        assert _number(row[-2]) == 100
        assert sum(_number(cell) for cell in row[1:-2]) == pytest.approx(100, abs=0.31)


def test_traffic_adds_up(reader: Reader, profiled: Profile) -> None:
    rows = [row for row in reader.rows["traffic"] if row[0].strip()]
    total = next(index for index, row in enumerate(rows) if row[0].startswith("total"))
    for column in (1, 2, 3):
        assert sum(_number(r[column]) for r in rows[:total]) == _number(rows[total][column])
    measured = [row for row in rows if row[0].startswith("on the bus")]
    assert bool(measured) == profiled.trace.measured
    for row in measured:
        assert _number(row[1]) == profiled.result.dram_bytes_read - profiled.bytes_read


def test_thousands_are_separated(html: str, profiled: Profile) -> None:
    assert profiled.trace.cycles > 1000
    assert f"{profiled.trace.cycles:,}" in html
    assert f">{profiled.trace.cycles}<" not in html


def test_axes() -> None:
    assert list(LinearAxis(1000, 0, 100).ticks(5)) == [0, 200, 400, 600, 800, 1000]
    assert list(LinearAxis(0, 0, 100).ticks()) == [0]
    axis = LogAxis(1, 16, 0, 100)
    assert list(axis.ticks()) == [1, 2, 4, 8, 16]
    assert axis(4) == pytest.approx(50)
    assert list(LogAxis(1, 1000, 0, 1).ticks()) == [1, 10, 100, 1000]
    assert [short(v) for v in (0.25, 12, 1500, 2e6, 3e9)] == ["0.25", "12", "1.5k", "2M", "3G"]


def test_drawings_are_escaped() -> None:
    chart = drawing(10, 10, "a < b")
    add(chart, "text", "<b>", x=1.0, title='"&"')
    assert "&lt;b&gt;" in text_of(chart)
    assert "a &lt; b" in text_of(chart)
