"""The flow log on a disk that is really full: a tmpfs of 64 kB. Needs root to mount it.

Left out: everything that needs no full file system (tests/unit/agent/test_flowlog.py).
"""

import json
import logging
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from agent import flowlog
from tests.fakes import flows

PATIENCE_S = 20


def new(path: pathlib.Path) -> flowlog.FlowLog:
    return flowlog.FlowLog(path, max_bytes=10**9, files=3, node_name="node-a")


def parsed(path: pathlib.Path) -> list[dict[str, object]]:
    """Read every line; fails if one is not whole."""
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a file system of 64 kB."""
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "ipseity-test", where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


def test_full_disk_drops_counts_and_recovers(small_disk: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk: every line that is there is whole, every other is counted; space comes back, lines come back."""
    path = small_disk / "flows.jsonl"
    log = new(path)
    caplog.set_level(logging.WARNING)
    for _ in range(7):
        log.write([flows.edge()] * 101)
        assert log.flush(PATIENCE_S)
    assert len(parsed(path)) == log.written > 0
    assert {flowlog.DropCause.NO_SPACE: 707 - log.written} == log.drops
    assert len(caplog.records) == 1, "said once"
    assert str(path) in caplog.text

    path.write_bytes(b"")  # an operator makes room
    log.write([flows.edge()] * 3)
    assert log.close(PATIENCE_S)
    assert len(parsed(path)) == 3
    assert len(caplog.records) == 2, "and once that it is over"


def test_full_from_the_start(small_disk: pathlib.Path) -> None:
    """Not one byte of room: nothing is written, everything is counted, the log lives."""
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as full:
        while _room_taken(full.fileno()):
            pass
    log = new(small_disk / "flows.jsonl")
    log.write([flows.edge()] * 23)
    assert log.flush(PATIENCE_S)
    assert (0, {flowlog.DropCause.NO_SPACE: 23}) == (log.written, log.drops)
    ballast.unlink()
    log.write([flows.edge()])
    log.close(PATIENCE_S)
    assert len(parsed(small_disk / "flows.jsonl")) == 1


def _room_taken(fd: int) -> bool:
    try:
        return os.write(fd, b"x" * 4096) > 0
    except OSError:
        return False
