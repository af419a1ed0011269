"""Orphans that a node has adopted: they are reaped, and nobody's child is. Leaves out containers."""

import asyncio
import os
import pathlib

from comparisons.lab import processes


def dead() -> int:
    """Start a program that ends at once, as nobody's business; returns when it is dead."""
    pid = os.posix_spawn("/bin/false", ["false"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_who_is_nobodys_is_reaped_on_the_second_visit() -> None:
    """On the first one it may still become somebody's. Its name says nothing: a command may have begun."""
    orphan = dead()
    seen = processes.bury(set())
    assert orphan in seen
    assert orphan in processes.children()
    assert orphan not in processes.bury(seen)
    assert orphan not in processes.children()


def test_who_is_waited_for_is_left_alone() -> None:
    """For as long as that takes: a container's first process, adopted, and a program that was started."""
    adopted = dead()
    descriptor = processes.adopt(adopted)
    for _ in range(3):
        assert adopted not in processes.bury({adopted})
    assert 1 == processes.reap(descriptor, adopted)
    os.close(descriptor)
    assert dead() in processes.bury(set())  # whoever has the same number next time is a stranger again


def test_a_program_that_was_started_keeps_its_status() -> None:
    """Though it is dead on two visits in a row before anybody asks."""
    with pathlib.Path(os.devnull).open("rb") as nothing:
        child = processes.start(["/bin/false"], stdin=nothing.fileno(), stdout=1, stderr=2)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.pid not in processes.bury({child.pid})
    assert 1 == asyncio.run(processes.wait(child, timeout_s=5))
