"""The drawings of the page: roofline, engines over time, scratchpad over time."""

from collections.abc import Iterator
from itertools import groupby
from xml.etree.ElementTree import Element

import numpy as np

from hw.isa.host import Engine
from isthmus.report.attribution import ENGINES, NOBODY, Indices, Operation
from isthmus.report.profile import Profile
from isthmus.report.svg import COLOURS, LinearAxis, LogAxis, add, drawing, path, short, text_of

WIDTH, LEFT, RIGHT = 960.0, 72.0, 16.0
BINS = 480
"""Pieces a run is cut into where it is drawn over time."""
SHADES = 4
"""Levels of how busy an engine is in a piece."""


def roofline_chart(profile: Profile) -> str:
    """Work per byte against work per cycle, a dot for each operation with products."""
    height, bottom = 400.0, 352.0
    config = profile.program.config
    peak, bus = float(config.macs_per_cycle), float(config.bus_bytes)
    dots = [(op, op.macs / max(op.bytes_moved, 1), op.macs / max(op.active, 1))
            for op in profile.operations if op.macs]
    ridge = peak / bus
    x = LogAxis(min([ridge, *(i for _, i, _ in dots)]) / 4,
                max([ridge, *(i for _, i, _ in dots)]) * 4, LEFT, WIDTH - RIGHT)
    y = LogAxis(min([peak, *(rate for *_, rate in dots)]) / 4, peak * 2, bottom, 16)
    chart = drawing(WIDTH, height, "Roofline")
    _grid(chart, x, y, bottom)
    low = max(x.low, y.low / bus)
    roof = [(x(low), y(low * bus)), (x(ridge), y(peak)), (x(x.high), y(peak))]
    add(chart, "path", d=path(roof), cls="roof")
    add(chart, "text", f"{peak:,.0f} MAC/cycle", x=WIDTH - RIGHT - 4, y=y(peak) - 8, cls="end note")
    add(chart, "text", f"{bus:g} bytes/cycle", x=x(ridge) - 8, y=y(peak) - 8, cls="end note")
    for operation, intensity, rate in dots:
        _dot(chart, profile, operation, x(intensity), y(rate),
             f"{intensity:,.2f} MAC/byte, {rate:,.1f} MAC/cycle ({rate / peak:.0%} of the array)")
    add(chart, "text", "multiply-accumulates per byte of DRAM traffic",
        x=(LEFT + WIDTH - RIGHT) / 2, y=height - 8, cls="middle note")
    add(chart, "text", "MAC per cycle", x=14, y=bottom / 2, cls="middle note",
        transform=f"rotate(-90 14 {bottom / 2:g})")
    return text_of(chart)


def _grid(chart: Element, x: LogAxis, y: LogAxis, bottom: float) -> None:
    for tick in x.ticks():
        add(chart, "line", x1=x(tick), x2=x(tick), y1=16, y2=bottom, cls="grid")
        add(chart, "text", short(tick), x=x(tick), y=bottom + 18, cls="middle")
    for tick in y.ticks():
        add(chart, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(tick), y2=y(tick), cls="grid")
        add(chart, "text", short(tick), x=LEFT - 8, y=y(tick) + 4, cls="end")


def _dot(chart: Element, profile: Profile, operation: Operation, x: float, y: float, what: str
         ) -> None:
    number = profile.operations.index(operation)
    share = operation.exposed / max(profile.trace.cycles, 1)
    add(chart, "circle", cx=x, cy=y, r=5 + 9 * share ** 0.5, cls=f"dot op{number % COLOURS}",
        title=f"{operation.name}\n{what}\n{share:.1%} of the program's cycles")


def timeline_chart(profile: Profile) -> str:
    """What each engine is busy with, and bytes of the scratchpad in use, over the run."""
    row, gap, top, area = 26.0, 6.0, 8.0, 150.0
    middle = top + len(ENGINES) * (row + gap) + 14
    bottom = middle + area
    x = LinearAxis(profile.trace.cycles, LEFT, WIDTH - RIGHT)
    chart = drawing(WIDTH, bottom + 44, "Engines and scratchpad over time")
    for number, engine in enumerate(ENGINES):
        at = top + number * (row + gap)
        add(chart, "text", engine.name.lower(), x=LEFT - 8, y=at + row / 2 + 4, cls="end")
        add(chart, "rect", x=LEFT, y=at, width=x.end - x.start, height=row, cls="empty")
        _strip(chart, profile, engine, x, at, row)
    for tick in x.ticks(8):
        add(chart, "line", x1=x(tick), x2=x(tick), y1=middle, y2=bottom, cls="grid")
        add(chart, "text", short(tick), x=x(tick), y=bottom + 18, cls="middle")
    _memory(chart, profile, x, LinearAxis(profile.program.config.scratchpad_bytes, bottom, middle))
    add(chart, "text", "cycle", x=(x.start + x.end) / 2, y=bottom + 38, cls="middle note")
    return text_of(chart)


def _strip(chart: Element, profile: Profile, engine: Engine, x: LinearAxis, y: float, height: float
           ) -> None:
    pieces = list(_pieces(profile.during[engine]))
    at = 0
    for (number, shade), same in groupby(pieces):
        end = at + sum(1 for _ in same)
        if number != NOBODY:
            start, stop = (edge * profile.trace.cycles / len(pieces) for edge in (at, end))
            add(chart, "rect", x=x(start), y=y, width=x(stop) - x(start), height=height,
                cls=f"op{number % COLOURS}", fill_opacity=shade / SHADES,
                title=f"{engine.name.lower()}: {profile.operations[number].name}\n"
                      f"cycles {start:,.0f} to {stop:,.0f}")
        at = end


def _pieces(during: Indices) -> Iterator[tuple[int, int]]:
    """For each piece the operation with most busy cycles, and how busy it kept the engine."""
    for piece in np.array_split(during, min(BINS, len(during)) or 1):
        busy = piece[piece != NOBODY]
        if len(busy):
            number = int(np.bincount(busy).argmax())
            yield number, max(round(SHADES * len(busy) / len(piece)), 1)
        else:
            yield NOBODY, 0


def _memory(chart: Element, profile: Profile, x: LinearAxis, y: LinearAxis) -> None:
    for tick in y.ticks(3):
        add(chart, "text", short(tick), x=LEFT - 8, y=y(tick) + 4, cls="end")
        add(chart, "line", x1=x.start, x2=x.end, y1=y(tick), y2=y(tick), cls="grid")
    top = _highest(profile)
    points = [(x.start, y.start)]
    for number, level in enumerate(top):
        begin, end = (x(i * profile.trace.cycles / len(top)) for i in (number, number + 1))
        points += [(begin, y(level)), (end, y(level))]
    points.append((x.end, y.start))
    add(chart, "path", d=path(points) + "Z", cls="area",
        title=f"at most {profile.occupancy.peak:,} bytes")
    capacity = y(y.high)
    add(chart, "line", x1=x.start, x2=x.end, y1=capacity, y2=capacity, cls="roof")
    add(chart, "text", f"scratchpad, {int(y.high):,} bytes", x=x.end - 4, y=capacity + 14,
        cls="end note")


def _highest(profile: Profile) -> list[int]:
    """Most bytes in use in each piece of the run."""
    count = max(min(BINS, profile.trace.cycles), 1)
    found, level, at = [0] * count, 0, 0
    for cycle, size in [*profile.occupancy.levels, (profile.trace.cycles, 0)]:
        piece = min(cycle * count // max(profile.trace.cycles, 1), count - 1)
        for between in range(at, piece + 1):
            found[between] = max(found[between], level)
        found[piece] = max(found[piece], size)
        at, level = piece, size
    return found
