"""What waits for a step: kept when one fails, dropped when two have. Left out: steps (test_pipeline)."""

import ipaddress

from agent import drops, edges, inbox, model, records

EVENT = model.ObjectEvent(
    change=model.Change.SEEN,
    object=model.Node(uid="1", name="node-a", ips=(ipaddress.ip_address("192.0.2.1"),)),
    boot_ns=10**15,
)
PLACE = model.CgroupEvent(cgroup=model.CgroupId(7), path="/x", boot_ns=10**15)
ENDED = records.Connection(
    edge=edges.Edge(
        id=0, cgroup=model.CgroupId(7), netns=model.NetnsCookie(5), local=ipaddress.ip_address("10.7.0.2"),
        remote=ipaddress.ip_address("10.7.0.3"), port=80, direction=model.Direction.EGRESS, protocol=model.Protocol.TCP,
    ),
    local_port=40001, remote_port=80, opened_boot_ns=1, ended_boot_ns=2, end_reason="closed", counters=model.Counters(),
)  # fmt: skip


def filled() -> tuple[inbox.Inbox, drops.Drops]:
    lost = drops.Drops()
    box = inbox.Inbox(lost)
    box.fresh.cgroup_events.append(PLACE)
    box.fresh.object_events.extend([EVENT, EVENT])
    box.fresh.connections.extend([ENDED] * 3)
    return box, lost


def test_what_a_step_has_had_is_gone() -> None:
    """All of it, and nothing was lost; the stage is listed at zero."""
    box, lost = filled()
    assert 6 == len(box.all()) == len(box.all())
    box.done()
    assert (0, {"tick_inputs_lost": 0}) == (len(box.all()), lost.by_stage)


def test_what_one_tick_failed_with_comes_once_more_before_what_is_new() -> None:
    """In the order in which it happened."""
    box, lost = filled()
    box.failed()
    later = model.CgroupEvent(cgroup=model.CgroupId(8), path="/y", boot_ns=10**15)
    box.fresh.cgroup_events.append(later)
    assert (7, [PLACE, later]) == (len(box.all()), box.all().cgroup_events)
    assert 0 == lost.by_stage["tick_inputs_lost"]


def test_what_two_ticks_failed_with_is_dropped_and_counted() -> None:
    """What came meanwhile has its second try; so nothing grows while every tick fails."""
    box, lost = filled()
    box.failed()
    box.fresh.object_events.append(EVENT)
    box.failed()
    assert (1, 6) == (len(box.all()), lost.by_stage["tick_inputs_lost"])
    box.failed()
    assert (0, 7) == (len(box.all()), lost.by_stage["tick_inputs_lost"])
