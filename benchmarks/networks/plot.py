"""The picture of the README: how close each network comes to its limit."""

from html import escape
from pathlib import Path

from benchmarks.networks.record import Record, load, networks

PICTURE = Path(__file__).parents[2] / "docs" / "networks.svg"
ROW, LEFT, WIDTH, TOP = 26, 190, 420, 34
"""Pixels: height of a row, room for names, width of 100 %, room for the title."""
COLOURS = {"exact": "#4c78a8", "fast_math": "#f58518"}


def draw() -> None:
    """Writes the picture of the committed records."""
    PICTURE.write_text(picture(networks(load())))


def picture(records: list[Record]) -> str:
    """Bars of the share of the limit, a pair for each network and machine."""
    groups = list(dict.fromkeys((r.network, r.config) for r in records))
    height = TOP + ROW * len(groups) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" '
             f'height="{height}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{LEFT}" y="18">Share of the limit, % '
             f'(<tspan fill="{COLOURS["exact"]}">exact</tspan>, '
             f'<tspan fill="{COLOURS["fast_math"]}">fast math</tspan>)</text>']
    for percent in (0, 25, 50, 75, 100):
        x = LEFT + WIDTH * percent / 100
        parts.append(f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{height - 24}" stroke="#ddd"/>'
                     f'<text x="{x}" y="{height - 8}" text-anchor="middle">{percent}</text>')
    for number, group in enumerate(groups):
        parts += _bars(group, [r for r in records if (r.network, r.config) == group],
                       TOP + ROW * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(group: tuple[str, str], records: list[Record], y: int) -> list[str]:
    network, config = group
    name = network if config == "default" else f"{network} ({config})"
    parts = [f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>']
    for number, record in enumerate(sorted(records, key=lambda r: r.mode)):
        top, length = y + 2 + 10 * number, WIDTH * min(record.share, 100) / 100
        parts.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="9" '
                     f'fill="{COLOURS[record.mode]}"/><text x="{LEFT + length + 4:.1f}" '
                     f'y="{top + 8}" font-size="10">{record.share:.1f}</text>')
    return parts
