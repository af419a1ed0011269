"""The pods' program as one that obeys: what it is ordered, it does as who it is told to be. Leaves out real servers."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from comparisons import match, stage

NOBODY = "127.0.0.1:1"
"""A port that nobody listens on."""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where a program named ``me`` looks for orders."""
    command = [sys.executable, "-I", "-S", str(stage.ACTOR), "obey", str(tmp_path / "me")]
    with subprocess.Popen(command) as process:
        try:
            yield tmp_path
        finally:
            process.kill()


def order(folder: pathlib.Path, pod: str, who: str, *words: str) -> None:
    (folder / f"order@{pod}@{who}.new").write_text("\n".join(words))
    (folder / f"order@{pod}@{who}.new").rename(folder / f"order@{pod}@{who}")


def done(folder: pathlib.Path, who: str) -> list[str]:
    """Wait until somebody has ended, and give what it wrote."""
    deadline_s, path = time.monotonic() + 20, folder / who
    while not path.exists() or " done " not in path.read_text():
        assert time.monotonic() < deadline_s, f"{who} does not end"
        time.sleep(0.01)  # noqa: TID251  # another process
    return path.read_text().splitlines()


def test_it_calls_as_who_it_is_told_to_be_each_time(folder: pathlib.Path) -> None:
    """Also the same again, once the first order was taken away; and another's orders are not its own."""
    for _ in range(2):
        order(folder, "me-too", "client-9", "call", NOBODY)
        order(folder, "me", "client-3", "call", NOBODY, "--every", "10", "--seconds", "0.05")
        found = match.attempts(done(folder, "client-3"))
        assert {"client-3"} == {it.who for it in found}
        assert 4 <= len(found) <= 6
        assert all(it.ended and not it.got_ns for it in found)
        (folder / "order@me@client-3").unlink()
        (folder / "client-3").unlink()
        time.sleep(0.1)  # noqa: TID251  # until it has seen that
    assert not (folder / "client-9").exists()


def test_orders_are_carried_out_side_by_side(folder: pathlib.Path) -> None:
    """One that waits for its moment keeps nobody up."""
    order(folder, "me", "first-1", "call", NOBODY, "--seconds", "0.02", "--wait", "go-first-1")
    order(folder, "me", "second-1", "call", NOBODY, "--seconds", "0.02")
    done(folder, "second-1")
    assert " done " not in (folder / "first-1").read_text()
    (folder / "go-first-1").touch()
    assert done(folder, "first-1")
