"""One HTML page about a run: complete in itself, so that it can be mailed or archived."""

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from hw.isa.host import Activity
from isthmus.report.attribution import ENGINES
from isthmus.report.charts import roofline_chart, timeline_chart
from isthmus.report.profile import Profile
from isthmus.report.svg import COLOURS

TEMPLATE, STYLE, SCRIPT = "page.html.j2", "page.css", "page.js"
FUSED, REFUSED = "fusion", "refused"
"""Keys of `Program.notes`: fusions that were made, and those that were refused and why."""


def page(profile: Profile, title: str) -> str:
    """The page's HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)
    environment.filters |= {"n": lambda value: f"{value:,.0f}", "pct": _percent}
    return environment.from_string(_file(TEMPLATE)).render(
        title=title, profile=profile, engines=ENGINES, activities=tuple(Activity),
        colours=COLOURS, stalls=stalls(profile), overhead=_overhead(profile),
        roofline=Markup(roofline_chart(profile)), timeline=Markup(timeline_chart(profile)),
        style=Markup(_file(STYLE)), script=Markup(_file(SCRIPT)),
        fused=_lines(profile, FUSED), refused=_lines(profile, REFUSED))


def stalls(profile: Profile) -> dict[str, dict[str, int]]:
    """Cycles by engine and activity, from the trace; each engine's add up to the run's."""
    table = {}
    for engine, segments in profile.trace.activities.items():
        counts = dict.fromkeys((activity.name.lower() for activity in Activity), 0)
        for start, end, activity in segments:
            counts[activity.name.lower()] += end - start
        table[engine.name.lower()] = counts
    return table


def _overhead(profile: Profile) -> int:
    """Bytes read beside the transfers' own: instructions, and beats used in part."""
    return max(profile.result.dram_bytes_read - profile.bytes_read, 0)


def _lines(profile: Profile, key: str) -> list[str]:
    noted: Any = profile.program.notes.get(key, ())
    return [str(line) for line in noted] if isinstance(noted, list | tuple) else [str(noted)]


def _percent(part: float, whole: float = 1.0) -> str:
    return f"{100 * part / (whole or 1):.1f} %"


def _file(name: str) -> str:
    return (resources.files("isthmus.report") / name).read_text()
