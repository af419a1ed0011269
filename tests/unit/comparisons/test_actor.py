"""The pods' program as one that obeys: what it is ordered, it does as who it is told to be. Leaves out real servers."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import cast

import pytest

from comparisons import match, stage
from comparisons.lab import cluster, layout

NOBODY = "127.0.0.1:1"
"""A port that nobody listens on."""


@pytest.fixture
def where(tmp_path: pathlib.Path) -> Iterator[stage.Stage]:
    """Where a program named ``me`` looks for orders."""
    told = stage.Stage(names=layout.Lab(name="none"), nodes=(), api=cast("cluster.Cluster", None), top=tmp_path)
    told.truth().mkdir()
    command = [sys.executable, "-I", "-S", str(stage.ACTOR), "obey", str(told.truth() / "me")]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE) as process:
        try:
            yield told
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it, and whom it has carry out orders


def done(where: stage.Stage, who: str) -> list[str]:
    """Wait until somebody has ended, and give what it wrote."""
    deadline_s, path = time.monotonic() + 20, where.truth() / who
    while not path.exists() or " done " not in path.read_text():
        assert time.monotonic() < deadline_s, f"{who} does not end"
        time.sleep(0.01)  # noqa: TID251  # another process
    return path.read_text().splitlines()


def test_it_calls_as_who_it_is_told_to_be_each_time(where: stage.Stage) -> None:
    """Also the same again, at once; and another's orders are not its own."""
    where.order("me-too", "client-9", ["call", NOBODY])
    for _ in range(3):
        where.order("me", "client-3", ["call", NOBODY, "--every", "10", "--seconds", "0.05"])
        found = match.attempts(done(where, "client-3"))
        assert {"client-3"} == {it.who for it in found}
        assert 4 <= len(found) <= 6
        assert all(it.ended and not it.got_ns for it in found)
        where.forget("-3")
    assert not (where.truth() / "client-9").exists()


def test_orders_are_carried_out_side_by_side_and_once(where: stage.Stage) -> None:
    """One that waits for its moment keeps nobody up."""
    where.order("me", "first-1", ["call", NOBODY, "--seconds", "0.02", "--wait", "go-first-1"])
    where.order("me", "second-1", ["call", NOBODY, "--seconds", "0.02"])
    done(where, "second-1")
    (where.truth() / "go-first-1").touch()
    assert 1 == sum(" started " in line for line in done(where, "first-1"))
    assert not list(where.truth().glob("order@*"))
