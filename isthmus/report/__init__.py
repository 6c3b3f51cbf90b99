"""What a run cost, as lines of text and as a page."""

from isthmus.report.text import Roofline, describe, roofline

__all__ = ["Roofline", "describe", "roofline"]
