"""Debian's Chromium without a window: what a page looks like to it, what it complains of, what it fetches."""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
from typing import Any

PROGRAM = "chromium"
LIMIT_S = 120.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=3000",
    "--enable-logging=stderr", "--log-level=0",
)  # fmt: skip
_CONSOLE = re.compile(r"CONSOLE[:(].*")
_PROBE = """<script>addEventListener('load', () => {
  const told = { charts: [], overflow: document.documentElement.scrollWidth - innerWidth, asked:
    performance.getEntriesByType('resource').map((it) => it.name).filter((it) => !it.startsWith('data:')),
    background: getComputedStyle(document.body).backgroundColor, focusable: [] };
  for (const chart of document.querySelectorAll('[data-chart]')) {
    const box = chart.getBoundingClientRect(), name = chart.getAttribute('aria-labelledby');
    const marks = [...chart.querySelectorAll('rect, line.tick')].filter((it) => it.getBoundingClientRect().height > 0);
    told.charts.push({ name, width: box.width, height: box.height, marks: marks.length,
      told: (chart.querySelector('desc') || {}).textContent || '' });
  }
  for (const each of document.querySelectorAll('.scroll')) told.focusable.push(each.tabIndex === 0);
  const said = document.createElement('pre');
  said.id = 'probe'; said.textContent = JSON.stringify(told); document.body.append(said);
});</script>"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a browser saw."""

    charts: list[dict[str, Any]]
    overflow: float
    """Pixels that the page is wider than the window."""
    asked: list[str]
    """What it fetched, but for itself."""
    background: str
    focusable: list[bool]
    """Of each part that scrolls: whether the keyboard reaches it."""
    complaints: list[str]
    """Lines of its console."""


def look(page: pathlib.Path, *, width: int = 1280, dark: bool = False) -> Seen:
    """Open a copy of a page that tells what became of it."""
    with tempfile.TemporaryDirectory(prefix="ipseity-browser-") as name:
        folder = pathlib.Path(name)
        copy = folder / "page.html"
        copy.write_text(page.read_text().replace("</body>", f"{_PROBE}</body>"))
        done = _run(folder, width, copy, "--dump-dom", *(["--force-dark-mode"] if dark else []))
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    if found is None:
        raise RuntimeError(f"the browser did not get to the end of the page:\n{done.stderr[-2000:]}")
    told = json.loads(found[1].replace("&quot;", '"').replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    return Seen(**told, complaints=_CONSOLE.findall(done.stderr))


def printed(page: pathlib.Path, to: pathlib.Path) -> int:
    """Print a page to PDF; gives its size in bytes."""
    with tempfile.TemporaryDirectory(prefix="ipseity-browser-") as name:
        _run(pathlib.Path(name), 1280, page, f"--print-to-pdf={to}")
    return to.stat().st_size


def _run(folder: pathlib.Path, width: int, page: pathlib.Path, *words: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which(PROGRAM)
    if program is None:
        raise RuntimeError(f"{PROGRAM} is not installed: apt-get install {PROGRAM}")
    window = f"--window-size={width},900"
    command = [program, *FLAGS, window, f"--user-data-dir={folder / 'profile'}", *words, f"file://{page.resolve()}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
