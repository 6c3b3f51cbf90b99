"""Keeps the README's table of measurements equal to the committed results."""

from pathlib import Path

from benchmarks.suite import saved, table

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def rendered(text: str) -> str:
    """The README's text with the table of the saved results between its markers."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    rows = [row for group in saved().values() for row in group]
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{after}"


def update() -> None:
    """Rewrites the README's table."""
    README.write_text(rendered(README.read_text()))
