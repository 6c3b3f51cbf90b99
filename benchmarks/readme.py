"""Keeps the README's table of measurements equal to the committed results."""

from pathlib import Path

from benchmarks.networks import against_iree, record
from benchmarks.suite import saved, table

README = Path(__file__).parents[1] / "README.md"


def rendered(text: str) -> str:
    """The README's text with the tables of the saved results between their markers."""
    rows = [row for group in saved().values() for row in group]
    text = _between(text, "measured", table(rows))
    records = record.load()
    text = _between(text, "networks", record.table(record.networks(records)))
    text = _between(text, "products", record.products(records))
    return _between(text, "compile", against_iree.table(against_iree.load()))


def _between(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def update() -> None:
    """Rewrites the README's tables."""
    README.write_text(rendered(README.read_text()))
