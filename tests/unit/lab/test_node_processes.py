"""Orphans that a node has adopted: they are reaped, and nobody's child is. Leaves out containers."""

import os
import pathlib
import shutil

from comparisons.lab import containers, processes


def start(path: pathlib.Path) -> int:
    """Start a program that ends at once, as nobody's business; returns when it is dead."""
    pid = os.posix_spawn(path, [path.name], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_a_command_that_never_began_is_reaped_on_the_second_visit(tmp_path: pathlib.Path) -> None:
    """On the first one it may still be somebody's; others are left alone."""
    paths = [tmp_path / name for name in (f"{containers.STARTING}2:INIT]", "other")]
    for path in paths:
        shutil.copy("/bin/true", path)
    orphan, other = map(start, paths)
    dead = processes.bury(set(), named=containers.STARTING)
    assert orphan in dead
    assert other not in dead
    processes.bury(dead, named=containers.STARTING)
    assert orphan not in processes.children()
    assert (other, 0) == os.waitpid(other, 0)
