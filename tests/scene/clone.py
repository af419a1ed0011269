"""A fresh clone of this repository: what a newcomer has. Only what is committed gets into it."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOBODY = 65534
"""The unprivileged user of every Debian machine (``nobody``, ``nogroup``)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone and the home of the person who works in it."""

    folder: pathlib.Path
    home: pathlib.Path
    uid: int

    def make(self, target: str) -> "Made":
        """Run one make target as this person, in the environment of somebody who has just logged in."""
        started_s = time.monotonic()
        run = subprocess.run(
            ["make", target],
            cwd=self.folder,
            env=newcomer_environment() | {"HOME": str(self.home)},
            user=self.uid,
            group=self.uid,
            extra_groups=[],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Made(status=run.returncode, took_s=time.monotonic() - started_s, output=run.stdout)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a make target went."""

    status: int
    took_s: float
    output: str

    @property
    def last_line(self) -> str:
        """What was printed last."""
        return (self.output.strip().splitlines() or [""])[-1]


@contextlib.contextmanager
def fresh(*, uid: int = 0) -> Iterator[Clone]:
    """Clone HEAD into a folder of its own, which belongs to ``uid`` and is gone afterwards."""
    # Not below a private folder: somebody without root must be able to reach it.
    top = pathlib.Path(tempfile.mkdtemp(prefix="ipseity-clone-", dir="/var/tmp"))
    top.chmod(0o755)
    try:
        clone = Clone(folder=top / "ipseity", home=top / "home", uid=uid)
        clone.home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone.folder], check=True)
        for path in top.rglob("*"):
            os.chown(path, uid, uid, follow_symlinks=False)
        yield clone
    finally:
        shutil.rmtree(top)


def uncommitted() -> list[str]:
    """List what differs from HEAD here, and is therefore not in a fresh clone."""
    run = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True)
    return run.stdout.splitlines()


def newcomer_environment() -> dict[str, str]:
    """Drop what the virtual environment and the make that we run from have put into the environment."""
    ours = {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "WHAT"}
    path = [folder for folder in os.environ["PATH"].split(":") if not folder.startswith(str(ROOT))]
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PATH": ":".join(path)}
