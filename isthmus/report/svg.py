"""Small SVG drawings. Colours come from the page's style sheet, by class."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

COLOURS = 10
"""Classes op0, op1, ... of the style sheet."""


def drawing(width: float, height: float, label: str) -> Element:
    """An empty drawing that scales with the page."""
    return Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img",
                           "aria-label": label, "class": "chart"})


def add(parent: Element, tag: str, /, text: str = "", title: str = "", **attributes: object
        ) -> Element:
    """A shape; numbers are rounded, `cls` is its class, `title` shows when pointed at."""
    values = {name.replace("cls", "class").replace("_", "-"): _plain(value)
              for name, value in attributes.items()}
    element = SubElement(parent, tag, values)
    element.text = text or None
    if title:
        SubElement(element, "title").text = title
    return element


def text_of(element: Element) -> str:
    """The drawing as markup; everything in it is escaped."""
    return ElementTree.tostring(element, encoding="unicode")


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def path(points: Sequence[tuple[float, float]]) -> str:
    """A polyline as path data."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


@dataclass(frozen=True)
class LinearAxis:
    """Maps 0 to `high` to pixels `start` to `end`."""

    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * value / (self.high or 1)

    def ticks(self, count: int = 6) -> Iterator[float]:
        """About so many round numbers."""
        rough = (self.high or 1) / count
        unit = 10 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
        return (i * step for i in range(int(self.high / step + 1e-9) + 1))


@dataclass(frozen=True)
class LogAxis:
    """Maps `low` to `high` to pixels, in proportion to their logarithms."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self) -> Iterator[float]:
        """Powers of two or of ten inside, by how many there are."""
        base = 2 if self.high / self.low < 300 else 10
        first = math.ceil(math.log(self.low, base) - 1e-9)
        last = math.floor(math.log(self.high, base) + 1e-9)
        return (float(base) ** power for power in range(first, last + 1))


def short(value: float) -> str:
    """A number for an axis: 1500 is 1.5k."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
