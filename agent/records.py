"""Connection records of the kernel's ring as flows, each with the names its two ends had when it was opened.

Here because a record has what an edge has not: ports, duration and the end's reason. Leaves out naming (given as a
function).
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final

from agent import edges, model, wire

_CAUSES: Final = {int(cause): cause.name.lower() for cause in model.FailCause} | {wire.END_CLOSED: "closed"}


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """One record, read. ``edge`` has the exact remote address."""

    edge: edges.Edge
    local_port: int
    remote_port: int
    opened_boot_ns: int
    ended_boot_ns: int
    end_reason: str
    counters: model.Counters


def read(array: wire.Array) -> tuple[list[Connection], int]:
    """Read records; returns them and how many had a value that cannot be (counted, dropped)."""
    good: list[Connection] = []
    for row in array:
        try:
            good.append(_connection(row))
        except (ValueError, KeyError):
            continue
    return good, len(array) - len(good)


def _connection(row: wire.Array) -> Connection:
    direction = model.Direction(int(row["direction"]))
    local_port, remote_port = int(row["local_port"]), int(row["remote_port"])
    edge = edges.Edge(
        id=0,
        cgroup=model.CgroupId(int(row["cgroup"])),
        netns=model.NetnsCookie(int(row["netns"])),
        local=wire.address(row["local"].tobytes()),
        remote=wire.address(row["remote"].tobytes()),
        port=remote_port if direction is model.Direction.EGRESS else local_port,
        direction=direction,
        protocol=model.Protocol(int(row["protocol"])),
        peer_tag=int(row["peer_tag"]),
        peer_pod=int(row["peer_pod"]),
    )
    return Connection(
        edge=edge,
        local_port=local_port,
        remote_port=remote_port,
        opened_boot_ns=int(row["opened_boot_ns"]),
        ended_boot_ns=int(row["ended_boot_ns"]),
        end_reason=_CAUSES[int(row["end"])],
        counters=_counters(row),
    )


def _counters(row: wire.Array) -> model.Counters:
    established = int(row["established"])
    end = int(row["end"])
    failed = tuple(int(end == cause) for cause in model.FailCause)
    rtt_us, connect_us = int(row["rtt_us"]), int(row["connect_us"])
    return model.Counters(
        opened=established,
        closed=established,
        failed=(failed[0], failed[1], failed[2], failed[3], failed[4]),
        sent_bytes=int(row["sent_bytes"]),
        received_bytes=int(row["received_bytes"]),
        sent_segments=int(row["sent_segments"]),
        received_segments=int(row["received_segments"]),
        retransmits=int(row["retransmits"]),
        rtt_us_sum=rtt_us,
        rtt_us_buckets=_one_sample(rtt_us) if established else (),
        connect_us_sum=connect_us,
        connect_us_buckets=_one_sample(connect_us) if connect_us else (),
    )


def _one_sample(value_us: int) -> tuple[int, ...]:
    """Put one value in its bucket, as ``bucket`` in bpf/include/maps.h does."""
    index = min((value_us >> 6).bit_length(), wire.HISTOGRAM_BUCKETS - 1)
    return tuple(int(at == index) for at in range(wire.HISTOGRAM_BUCKETS))


def flows(
    connections: Iterable[Connection],
    name: Callable[[Connection], tuple[model.End, model.End]],
    wall_of: Callable[[int], int],
) -> list[model.Flow]:
    """Make flows of connections; ``name`` gives the local and the remote end."""
    made = []
    for each in connections:
        local, remote = name(each)
        made.append(
            model.Flow(
                start_wall_ns=wall_of(each.opened_boot_ns),
                end_wall_ns=wall_of(each.ended_boot_ns),
                local=local,
                remote=remote,
                direction=each.edge.direction,
                protocol=each.edge.protocol,
                port=each.edge.port,
                counters=each.counters,
                local_port=each.local_port,
                remote_port=each.remote_port,
                duration_us=(each.ended_boot_ns - each.opened_boot_ns) // 1000,
                end_reason=each.end_reason,
            )
        )
    return made
