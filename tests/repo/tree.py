"""The files that belong to the repository, as the rules here look at them."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*patterns: str) -> list[pathlib.Path]:
    """List what is tracked and still there, by git's own patterns; everything without a pattern."""
    listing = ["git", "ls-files", "-z", "--", *patterns]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def texts(*patterns: str) -> list[tuple[str, str]]:
    """List relative path and content of the files that are text."""
    found = []
    for path in files(*patterns):
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found
