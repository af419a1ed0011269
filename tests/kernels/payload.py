"""What runs on each kernel: load our programs, make the workload whose every count is known, compare.

Uses Debian's Python with python3-bpfcc and python3-numpy and nothing else, like the agent's kernel side itself. The
last line is the ``report``.
"""

import dataclasses
import ipaddress
import os
import pathlib
import sys
import time
import traceback

import numpy as np

from agent import attach, kernel, wire
from tests.kernels import report, told
from tests.scene import room
from tests.traffic import between, tally, workload

INSTANCE = "kernel-test"
SETTLE_S = 2.0
"""Arbitrary: the last FIN of a workload is acknowledged within milliseconds."""
CAUSES = ("refused", "timed_out", "reset", "unreachable", "other")
DIRECTIONS = ("egress", "ingress")
BPFFS = pathlib.Path("/sys/fs/bpf")


def read(held: kernel.Kernel, cgroup: int) -> tally.Tallies:
    """Read the kernel's edges of one cgroup in the form in which the programs report."""
    counted: tally.Tallies = {}
    for key, value in zip(*held.edges(), strict=True):
        if int(key["cgroup"]) != cgroup:
            continue
        protocol = "tcp" if key["protocol"] == 6 else "udp"
        remote = str(wire.address(key["remote"].tobytes()))
        edge = tally.Edge(protocol, DIRECTIONS[key["direction"]], remote, int(key["port"]))
        counted[edge] = counted.get(edge, tally.Tally()) + as_tally(value, protocol)
    return counted


def as_tally(value: np.void, protocol: str) -> tally.Tally:
    """Read one ``edge_value``."""
    failed = dict(zip(CAUSES, map(int, value["failed"]), strict=True))
    count = tally.Tally(
        opened=int(value["opened"]),
        closed=int(value["closed"]),
        sent_bytes=int(value["sent_bytes"]),
        received_bytes=int(value["received_bytes"]),
        **failed,
    )
    if protocol == "udp":
        count.sent_datagrams, count.received_datagrams = int(value["sent_segments"]), int(value["received_segments"])
    return count


def measure() -> report.Report:
    """Load, make the workload, compare, remove everything."""
    options = attach.Options(cgroup_root=room.cgroup_root(), instance=INSTANCE)
    kernel.Kernel(options).close()
    held = kernel.Kernel(options)  # what counts is what the second one adopts: a restart must lose nothing
    try:
        everything = [ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0")]
        held.settle(records=True, private=True, kept=everything, collapsed=[])
        with room.pair("kernel") as (caller, callee):
            steps = workload.orderly(callee) + workload.failing(callee) + workload.datagrams(callee)
            truths = between.talk(caller, callee, steps, (workload.PORT, workload.RESET_PORT))
            time.sleep(SETTLE_S)  # noqa: TID251  # nothing signals that the last FIN was acknowledged
            return compare(held, [read(held, end.cgroup_id) for end in (caller, callee)], truths)
    finally:
        held.close()
        attach.cleanup(BPFFS, INSTANCE)


def compare(
    held: kernel.Kernel, seen: list[tally.Tallies], truths: tuple[tally.Tallies, tally.Tallies]
) -> report.Report:
    """Put both sides of the workload beside what the kernel counted."""
    sides = list(zip(("caller", "callee"), seen, truths, strict=True))
    return report.Report(
        kernel=os.uname().release,
        ends_right=sum(count.opened for _, counted, _ in sides for edge, count in counted.items() if orderly(edge)),
        ends_expected=2 * workload.CONNECTIONS,
        bytes_seen={side: total_bytes(counted) for side, counted, _ in sides},
        bytes_expected={side: total_bytes(truth) for side, _, truth in sides},
        hooks={name: name not in held.missing for name in (*held.programs, *held.missing)},
        differences=[line for side, counted, truth in sides for line in tally.differences(counted, truth, side)],
        adopted=held.adopted,
        losses=held.losses(),
    )


def orderly(edge: tally.Edge) -> bool:
    """Tell whether an edge is of the 23 connections that end in order."""
    return edge.protocol == "tcp" and edge.port == workload.PORT


def total_bytes(counted: tally.Tallies) -> int:
    """Add up the payload of both ways."""
    return sum(count.sent_bytes + count.received_bytes for count in counted.values())


def main() -> int:
    """Run as a program."""
    try:
        seen, made = measure(), told.measure()
        numbers = dataclasses.asdict(made) | {"wrong": len(made.wrong)}
        found = dataclasses.replace(seen, told=numbers, differences=[*seen.differences, *made.wrong])
    except Exception:  # noqa: BLE001  # whatever it was, the other side of the serial line must be told
        found = report.Report(kernel=os.uname().release, problem=traceback.format_exc())
    print(found.line(), flush=True)
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main())
