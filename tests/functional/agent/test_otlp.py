"""A real agent and a collector: every connection is one record from each end, and SIGTERM sends what waits.

Left out: collectors that misbehave (tests/unit/agent/test_otlp.py); names from an API server (tests/prove/rules.py).
"""

import asyncio
import collections
import contextlib

from tests.fakes import collector
from tests.scene import agent, room

PORT = 8089
CONNECTIONS = 23
SERVE = f"""
import socket
with socket.create_server(("", {PORT})) as server:
    print("listens", flush=True)
    while True:
        with server.accept()[0] as served:
            served.sendall(bytes(101))
            served.recv(1)
"""
CALL = f"""
import socket, sys
for number in range({CONNECTIONS}):
    with socket.create_connection((sys.argv[1], {PORT})) as client:
        client.recv(101, socket.MSG_WAITALL)
"""


def act(url: str) -> None:
    """Let there be connections, and end the agent before their flows have gone out by themselves."""
    with room.pair("otlp") as (caller, callee), contextlib.ExitStack() as stack:
        flags = ["--cgroup-root", caller.cgroup.parent, "--otlp-endpoint", url]
        stack.enter_context(agent.running("otlp", *flags))
        stack.enter_context(room.talking(callee, SERVE))
        caller.run("python3", "-c", CALL, callee.address4)


async def test_what_the_kernel_counted_is_what_a_collector_has() -> None:
    """By log records, and by the totals, which are exported a last time at the end."""
    async with collector.running() as gathered:
        await asyncio.to_thread(act, gathered.url)
    found: collections.Counter[object] = collections.Counter()
    received: collections.Counter[object] = collections.Counter()
    for record in gathered.records():
        said = collector.values(record.attributes)
        if said["destination.port"] == PORT:
            found[said["ipseity.direction"], said["ipseity.end_reason"]] += 1
            received[said["ipseity.direction"]] += int(str(said["ipseity.flow.received_bytes"]))
    assert {("egress", "closed"): CONNECTIONS, ("ingress", "closed"): CONNECTIONS} == found
    assert {"egress": 101 * CONNECTIONS, "ingress": 101 * CONNECTIONS} == received
    totals: dict[object, int] = {}
    for metric in gathered.families():
        for point in metric.sum.data_points:
            said = collector.values(point.attributes)
            if metric.name == "ipseity.flow.received" and said["destination.port"] == PORT:
                totals[said["ipseity.direction"]] = max(point.as_int, totals.get(said["ipseity.direction"], 0))
    assert received == totals
