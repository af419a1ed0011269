"""Flows as the pipeline makes them, with one thing or another different.

A fake because a real ``model.Flow`` has 17 fields and a test is about two of them. Leaves out everything odd.
"""

import dataclasses
from typing import Any

from agent import model

CLIENT = model.End(
    kind=model.Kind.POD,
    evidence=model.Evidence.KERNEL,
    address="10.7.0.4",
    namespace="shop",
    name="client-7f9c",
    pod_uid="5b0f3f0e-0a52-4c3a-9f0f-2f6f0d6b6d01",
    workload="client",
    workload_kind="Deployment",
    service_account="client",
    labels=(("app", "client"), ("tier", "front")),
    container_id="c0ffee",
    cgroup=4528,
)
WEB = model.End(
    kind=model.Kind.POD,
    evidence=model.Evidence.IP,
    address="10.7.1.9",
    namespace="shop",
    name="web-5d44",
    pod_uid="a91e77aa-52e0-4a43-8a2c-f1ad01b2a7e3",
    workload="web",
    workload_kind="Deployment",
    service_account="web",
    labels=(("app", "web"),),
)
OUTSIDE = model.End(kind=model.Kind.EXTERNAL, evidence=model.Evidence.IP, address="0.0.0.0/0", name="0.0.0.0/0")
COUNTERS = model.Counters(
    opened=23,
    closed=19,
    failed=(7, 5, 3, 0, 0),
    sent_bytes=1009,
    received_bytes=2003,
    sent_segments=101,
    received_segments=103,
    retransmits=2,
    rtt_us_sum=23 * 200,
    rtt_us_buckets=(0, 0, 23, *(0,) * 13),
    connect_us_sum=23 * 300,
    connect_us_buckets=(0, 0, 0, 23, *(0,) * 12),
)
BOUNDS_US = tuple(64 * 2**n for n in range(15))
T0 = 1_795_352_400_000_000_000
"""2026-11-22T13:00:00Z."""


def edge(**changes: Any) -> model.Flow:
    """Client to web, as the client's node saw it in one second."""
    flow = model.Flow(
        start_wall_ns=T0,
        end_wall_ns=T0 + 10**9,
        local=CLIENT,
        remote=WEB,
        direction=model.Direction.EGRESS,
        protocol=model.Protocol.TCP,
        port=8080,
        counters=COUNTERS,
    )
    return dataclasses.replace(flow, **changes)


def mirrored(**changes: Any) -> model.Flow:
    """Give the same, as the web pod's node saw it."""
    counters = dataclasses.replace(
        COUNTERS,
        sent_bytes=COUNTERS.received_bytes,
        received_bytes=COUNTERS.sent_bytes,
        sent_segments=COUNTERS.received_segments,
        received_segments=COUNTERS.sent_segments,
        connect_us_sum=0,
        connect_us_buckets=(),
    )
    web = dataclasses.replace(WEB, evidence=model.Evidence.KERNEL, cgroup=4566)
    client = dataclasses.replace(CLIENT, evidence=model.Evidence.IP, cgroup=0, container_id="")
    flow = edge(local=web, remote=client, direction=model.Direction.INGRESS, counters=counters)
    return dataclasses.replace(flow, **changes)


def connection(**changes: Any) -> model.Flow:
    """One ended connection of client to web."""
    flow = edge(
        counters=model.Counters(opened=1, closed=1, sent_bytes=13, received_bytes=17),
        local_port=40123,
        remote_port=8080,
        duration_us=1500,
        end_reason="closed",
    )
    return dataclasses.replace(flow, **changes)
