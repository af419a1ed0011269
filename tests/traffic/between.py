"""Run a plan between two rooms and bring home what both sides say they did."""

import contextlib
import dataclasses
import signal
import subprocess
from collections.abc import Iterator, Sequence

from tests.scene import room
from tests.traffic import plan, tally


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A plan under way."""

    client: subprocess.Popen[str]
    servers: tuple[subprocess.Popen[str], ...]

    def finish(self) -> tuple[tally.Tallies, tally.Tallies]:
        """Wait for the client's end, end the servers; returns what caller and callee counted."""
        said = self.client.communicate()[0]
        answered: tally.Tallies = {}
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
            answered |= tally.load(server.communicate()[0].splitlines()[-1])
        return tally.load(said.splitlines()[-1]), answered


@contextlib.contextmanager
def talking(caller: room.Room, callee: room.Room, steps: Sequence[plan.Step], ports: Sequence[int]) -> Iterator[Talk]:
    """Serve ``ports`` in the callee and begin the steps in the caller."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(callee.start(*room.python("tests.traffic.server", str(port)))) for port in ports]
        for server in servers:
            stack.callback(server.kill)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        client = stack.enter_context(caller.start(*room.python("tests.traffic.client", plan.dump(list(steps)))))
        stack.callback(client.kill)
        yield Talk(client=client, servers=tuple(servers))


def talk(
    caller: room.Room, callee: room.Room, steps: Sequence[plan.Step], ports: Sequence[int]
) -> tuple[tally.Tallies, tally.Tallies]:
    """Do it all; returns what caller and callee counted."""
    with talking(caller, callee, steps, ports) as under_way:
        return under_way.finish()
