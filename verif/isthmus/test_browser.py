"""The page in a real browser: it renders, its script works, nothing is reported as an error.

Needs Chromium (Debian: apt install chromium); skipped where there is none.
"""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
               None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--window-size=1200,1600", "--enable-logging=stderr",
         "--virtual-time-budget=2000"]
PROBE = """<script>
addEventListener("load", () => {
  const found = document.createElement("pre");
  const sizes = (all) => [...document.querySelectorAll(all)].map(
    (one) => one.getBoundingClientRect()).map((box) => `${box.width}x${box.height}`).join(" ");
  const table = document.querySelector("#operations table");
  const column = () => [...table.tBodies[0].rows].map((row) => +row.cells[1].dataset.value);
  const heading = table.tHead.rows[0].cells[1];
  heading.click();
  const descending = column().join(" ");
  heading.click();
  const wide = document.documentElement.scrollWidth > innerWidth;
  found.id = "probe";
  found.textContent = [sizes("svg"), sizes("svg circle"), descending, column().join(" "),
                       heading.getAttribute("aria-sort"), wide].join("|");
  document.body.append(found);
});
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt install chromium")


def _browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={page.parent / 'profile'}", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def _sizes(text: str) -> list[tuple[float, float]]:
    return [(float(w), float(h)) for w, h in (size.split("x") for size in text.split())]


def test_page_renders_and_sorts(html: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.replace("</body>", f"{PROBE}</body>"))
    done = _browse(page, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None
    charts, dots, descending, ascending, sorted_by, wide = probe[1].split("|")
    assert len(_sizes(charts)) == 2
    assert all(width > 600 and height > 200 for width, height in _sizes(charts))
    assert _sizes(dots)
    assert all(width > 5 and height > 5 for width, height in _sizes(dots))
    cycles = [int(value) for value in descending.split()]
    assert cycles == sorted(cycles, reverse=True)
    assert [int(value) for value in ascending.split()] == cycles[::-1]
    assert (sorted_by, wide) == ("ascending", "false")


def test_an_error_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><script>throw new Error('on purpose')</script>")
    assert "on purpose" in _browse(page, "--dump-dom").stderr


def test_screenshot(html: str, tmp_path: Path) -> None:
    page, image = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(html)
    _browse(page, f"--screenshot={image}")
    content = image.read_bytes()
    assert struct.unpack(">II", content[16:24]) == (1200, 1600)
    # A page of one colour would be some kilobytes.
    assert len(content) > 40_000
