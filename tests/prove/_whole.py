"""Everything that ``ipseity compare`` has, played for more than one claim: what was played is not played again.

An interrupted proof goes on where it was, also in another process: its folder is named after what is compared, so that
a change of a program begins anew.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from comparisons import report
from tests.prove import verdict
from tests.scene import clone

TOP = clone.ROOT / ".prove"
PLAYED = ("agent", "bpf", "comparisons", "deploy", "injector", "ipseity")


def play(name: str, *words: str) -> report.Found:
    """Play, or go on, or find what was played; ``words`` are those of ``ipseity compare``."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("a comparison needs root", hint="run it with sudo")
    folder = TOP / digest() / name
    for other in TOP.glob("*"):
        if other != folder.parent:
            shutil.rmtree(other)
    if not (folder / "report.md").exists():
        print(f"  in {folder}: may be interrupted", flush=True)
        command = [str(pathlib.Path(sys.executable).with_name("ipseity")), "compare", *words, "-o", str(folder)]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            raise verdict.CannotMeasure(f"the comparison ended with {done.returncode}", hint="the same again goes on")
    return report.load(folder)


def page(name: str) -> str:
    """Give the report in words."""
    return (TOP / digest() / name / "report.md").read_text()


def digest() -> str:
    """Name what is compared."""
    told = hashlib.sha256()
    for top in PLAYED:
        for path in sorted((clone.ROOT / top).rglob("*")):
            if path.suffix in {".py", ".toml", ".yaml", ".c", ".h"}:
                told.update(f"{path.relative_to(clone.ROOT)} {len(path.read_bytes())}\n".encode() + path.read_bytes())
    return told.hexdigest()[:12]
