"""The lines of requirements.lock for an image: the distributions it names, and all that these need.

Here because one lock file has everything, hashes included, and an image needs a part of it. What needs what stands in
the lock file itself ("via"). Runs before anything is installed, so with the standard library alone.

    python3 pick.py requirements.lock agent.txt > agent.lock
"""

# ruff: noqa: INP001  # programs of an image, not a package

import pathlib
import re
import sys

_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==.*?(?=^[A-Za-z]|\Z)", re.MULTILINE | re.DOTALL)
_VIA = re.compile(r"^    #(?: via|  ) +([A-Za-z0-9._-]+)$", re.MULTILINE)


def pick(lock: str, roots: set[str]) -> list[str]:
    """Give the entries for ``roots`` and what they need. Raises LookupError for a root that is not locked."""
    entries = {found[1].lower(): found[0].rstrip() for found in _ENTRY.finditer(lock)}
    if unknown := roots - entries.keys():
        raise LookupError(f"not in the lock file: {', '.join(sorted(unknown))}")
    wanted, before = set(roots), set()
    while wanted != before:
        before = set(wanted)
        wanted |= {name for name, entry in entries.items() if wanted & {via.lower() for via in _VIA.findall(entry)}}
    return [entries[name] for name in sorted(wanted)]


def names(text: str) -> set[str]:
    """Read a list of names, one a line."""
    return {line.strip().lower() for line in text.splitlines() if line.strip() and not line.startswith("#")}


if __name__ == "__main__":
    lock_file, list_file = map(pathlib.Path, sys.argv[1:])
    print("\n".join(pick(lock_file.read_text(), names(list_file.read_text()))))  # noqa: T201  # a program: this is its output
