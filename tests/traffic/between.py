"""Run a plan between two rooms and bring home what both sides say they did."""

import contextlib
import signal
from collections.abc import Sequence

from tests.scene import room
from tests.traffic import plan, tally


def talk(
    caller: room.Room, callee: room.Room, steps: Sequence[plan.Step], ports: Sequence[int]
) -> tuple[tally.Tallies, tally.Tallies]:
    """Serve ``ports`` in the callee, do the steps in the caller; returns what caller and callee counted."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(callee.start(*room.python("tests.traffic.server", str(port)))) for port in ports]
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        said = caller.run(*room.python("tests.traffic.client", plan.dump(list(steps))))
        answered: tally.Tallies = {}
        for server in servers:
            server.send_signal(signal.SIGTERM)
            answered |= tally.load(server.communicate()[0].splitlines()[-1])
    return tally.load(said.splitlines()[-1]), answered
