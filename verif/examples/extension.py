"""The package of `examples/extension`, installed without pip."""

import tomllib
from pathlib import Path

from sim.cache import ROOT

FOLDER = ROOT / "examples" / "extension"


def install(site: Path) -> None:
    """Puts into a folder of Python's path what pip would: the modules and their entry points."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    information = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (information / "entry_points.txt").write_text("".join(
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
        for group, points in project["entry-points"].items()))
    for path in FOLDER.glob("*.py"):
        (site / path.name).write_text(path.read_text())
