"""Steps that are told by hand: what waits, for how long, and under which name. Left out: random ones (tests/sim)."""

import ipaddress
from typing import Any

import pytest

from agent import edges, model, ownership, pipeline, records, verdicts
from tests.fakes import kernel

T = 10**15
MS = 10**6
POD_UID = "0000000a-0000-4000-8000-000000000000"
CGROUP = 7
KEY = kernel.key(CGROUP, local="10.7.0.2", remote="10.7.0.3", port=8080)


def pod(uid: str = POD_UID, name: str = "client", address: str = "10.7.0.2") -> model.Pod:
    ips = (ipaddress.ip_address(address),)
    return model.Pod(uid=model.PodUid(uid), namespace="shop", name=name, node="node-a", ips=ips)


def seen(thing: model.Pod, at: int, change: model.Change = model.Change.SEEN) -> model.ObjectEvent:
    return model.ObjectEvent(change=change, object=thing, boot_ns=at, since_boot_ns=at)


SERVER = pod("0000000b-0000-4000-8000-000000000000", "server", "10.7.0.3")
PLACE = model.CgroupEvent(cgroup=model.CgroupId(CGROUP), path=f"/kubepods/pod{POD_UID}/c1", boot_ns=T)


class Line:
    """A kernel and a pipeline; ``step`` reads the one into the other."""

    def __init__(self) -> None:
        self.kernel = kernel.Kernel()
        self.pipeline = pipeline.Pipeline(ownership.Ownership(history_s=600), max_edges=64)

    def step(self, at: int, **inputs: Any) -> pipeline.Outputs:
        keys, values, still_open = kernel.read(self.kernel, self.pipeline.table)
        read: dict[str, Any] = {"keys": keys, "values": values, "gone": self.kernel.gone, "still_open": still_open}
        return self.pipeline.step(pipeline.Inputs(boot_ns=at, wall_of=lambda ns: ns + 1, **read, **inputs))


def ended(at: int, opened_at: int) -> records.Connection:
    edge = edges.read_key(0, next(edges.wire.edge_keys(KEY)))
    return records.Connection(
        edge=edge, local_port=40001, remote_port=8080, opened_boot_ns=opened_at, ended_boot_ns=at,
        end_reason="closed", counters=model.Counters(opened=1, closed=1),
    )  # fmt: skip


def test_what_is_known_is_told_at_once() -> None:
    """Names, times on the wall's clock, and what happened."""
    line = Line()
    line.kernel.establish(KEY, T + 10)
    told = line.step(T + 20, cgroup_events=[PLACE], object_events=[seen(pod(), T), seen(SERVER, T)])
    [flow] = told.edges
    assert ("client", "server", 0) == (flow.local.name, flow.remote.name, told.held_back)
    assert (T + 11, T + 11) == (flow.start_wall_ns, flow.end_wall_ns)
    assert (1, 0, (1, *[0] * 15)) == (flow.counters.opened, flow.counters.closed, flow.counters.connect_us_buckets)
    assert [] == line.step(T + 30).edges


def test_a_late_name_is_waited_for_and_then_told_once() -> None:
    """The kernel is ahead of the API: the flow comes with the name, whole, and begins when it began."""
    line = Line()
    line.kernel.establish(KEY, T + 10)
    told = line.step(T + 20, cgroup_events=[PLACE], object_events=[seen(SERVER, T)])
    assert ([], 1) == (told.edges, told.held_back)
    line.kernel.establish(KEY, T + 100 * MS)
    [flow] = line.step(T + 200 * MS, object_events=[seen(pod(), T + 150 * MS)]).edges
    assert ("client", 2, T + 11) == (flow.local.name, flow.counters.opened, flow.start_wall_ns)


def test_patience_ends_and_what_is_missing_is_said() -> None:
    """After two seconds it is told without the name; what happens on it later does not wait a second time."""
    line = Line()
    line.kernel.establish(KEY, T + 10)
    assert [] == line.step(T + 20, cgroup_events=[PLACE]).edges
    assert [] == line.step(T + 20 + pipeline.PATIENCE_NS - 1).edges
    [flow] = line.step(T + 20 + pipeline.PATIENCE_NS).edges
    assert (model.Reason.POD_NOT_IN_API, POD_UID) == (flow.local.reason, flow.local.pod_uid)
    line.kernel.establish(KEY, T + 3 * pipeline.PATIENCE_NS)
    assert [1] == [each.counters.opened for each in line.step(T + 3 * pipeline.PATIENCE_NS + 1).edges]


def test_ends_alone_keep_the_name_of_the_beginning() -> None:
    """The address has another owner when the connection ends: it was not his connection."""
    line = Line()
    one = line.kernel.establish(KEY, T + 10)
    line.step(T + 20, cgroup_events=[PLACE], object_events=[seen(pod(), T), seen(SERVER, T)])
    other = pod("0000000c-0000-4000-8000-000000000000", "other", "10.7.0.3")
    at = T + 60_000 * MS
    events = [seen(SERVER, at, model.Change.GONE), seen(other, at + 1)]
    line.step(at + 2, object_events=events)
    line.kernel.end(one, at + 10_000 * MS)
    [flow] = line.step(at + 10_001 * MS).edges
    assert ("server", 1, 0) == (flow.remote.name, flow.counters.closed, flow.counters.opened)
    line.kernel.establish(KEY, at + 20_000 * MS)
    [flow] = line.step(at + 20_001 * MS).edges
    assert ("other", 1) == (flow.remote.name, flow.counters.opened)


def test_an_ended_connection_is_named_as_of_its_opening() -> None:
    """Not as of its end, and not as of now."""
    line = Line()
    line.step(T + 1, cgroup_events=[PLACE], object_events=[seen(pod(), T), seen(SERVER, T)])
    other = pod("0000000c-0000-4000-8000-000000000000", "other", "10.7.0.3")
    at = T + 60_000 * MS
    told = line.step(
        at + 10_000 * MS,
        object_events=[seen(SERVER, at, model.Change.GONE), seen(other, at + 1)],
        connections=[ended(at + 9_000 * MS, T + 5_000 * MS)],
    )
    assert [("client", "server", "closed")] == [
        (flow.local.name, flow.remote.name, flow.end_reason) for flow in told.connections
    ]


def test_ended_connections_wait_each_with_its_own_patience() -> None:
    """Told once, in order, with a name or without."""
    line = Line()
    told = line.step(T + 20, cgroup_events=[PLACE], connections=[ended(T + 10, T + 5)])
    assert ([], 1) == (told.connections, told.held_back)
    later = T + pipeline.PATIENCE_NS
    told = line.step(later + 11, connections=[ended(later, T + 5)])
    assert (1, 1) == (len(told.connections), told.held_back)
    told = line.step(later + 20, object_events=[seen(pod(), T), seen(SERVER, T)])
    assert (["server"], 0) == ([flow.remote.name for flow in told.connections], told.held_back)


def test_older_connections_are_partial_and_never_wait() -> None:
    """Their differences come from a sweep: there is nothing to hold back to."""
    line = Line()
    edge = edges.read_key(0, next(edges.wire.edge_keys(KEY)))
    change = edges.Change(edge, model.Counters(sent_bytes=1009), T + 10)
    [flow] = line.step(T + 20, older=[change]).edges
    assert (True, model.Reason.UNKNOWN_CGROUP, 1009) == (flow.partial, flow.local.reason, flow.counters.sent_bytes)


def test_an_idle_edge_may_be_forgotten_and_a_waiting_one_not() -> None:
    """What is held back is in the kernel's table and nowhere else."""
    line = Line()
    line.kernel.end(line.kernel.establish(KEY, T + 10), T + 11)
    at = T + pipeline.IDLE_NS + pipeline.PATIENCE_NS
    told = line.step(at, cgroup_events=[PLACE])
    assert (1, 0) == (told.held_back, len(told.idle))
    told = line.step(at + MS, object_events=[seen(pod(), at), seen(SERVER, at)])
    told = line.step(at + 2 * pipeline.PATIENCE_NS)
    told = line.step(at + 2 * pipeline.PATIENCE_NS + MS)
    assert [KEY.tobytes()] == [key.tobytes() for key in told.idle]
    line.kernel.forget(told.idle)
    line.step(at + 2 * pipeline.PATIENCE_NS + 2 * MS)
    line.step(at + 2 * pipeline.PATIENCE_NS + 3 * MS)
    assert [0, 0, 0] == [len(line.pipeline.table), len(line.pipeline._waiting), len(line.pipeline._names._known)]


def test_what_a_forgotten_edge_did_last_does_not_wait_for_a_name() -> None:
    """It is read once: held back it would be lost."""
    line = Line()
    line.kernel.end(line.kernel.establish(KEY, T + 10), T + 11)
    line.kernel.edges()
    line.kernel.forget(KEY)
    told = line.step(T + 20)
    assert ([(1, model.Reason.UNKNOWN_CGROUP)], 0) == (
        [(flow.counters.closed, flow.local.reason) for flow in told.edges], told.held_back,
    )  # fmt: skip


def test_an_edge_with_an_open_connection_is_never_idle() -> None:
    """However long it is silent: what was told of the connection would be told again under another id."""
    line = Line()
    one = line.kernel.establish(KEY, T + 10)
    line.step(T + 20, cgroup_events=[PLACE], object_events=[seen(pod(), T), seen(SERVER, T)])
    at = T + 7 * pipeline.IDLE_NS
    assert 0 == len(line.step(at).idle)
    line.kernel.end(one, at + 1)
    assert [(0, 1)] == [(flow.counters.opened, flow.counters.closed) for flow in line.step(at + 2).edges]
    assert 1 == len(line.step(at + 2 * pipeline.IDLE_NS).idle)


def test_a_step_that_fails_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever broke in it: the next one tells what it would have told."""
    line = Line()
    line.kernel.establish(KEY, T + 10)
    with monkeypatch.context() as broken:
        broken.setattr(line.pipeline, "_flow", None)
        with pytest.raises(TypeError):
            line.step(T + 20, cgroup_events=[PLACE], object_events=[seen(pod(), T), seen(SERVER, T)])
    assert [1] == [flow.counters.opened for flow in line.step(T + 30).edges]


def test_connections_that_a_failed_step_was_given_are_told_once_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the one that can be told and the one that has to wait for a name; nothing of the failed step stays."""
    line = Line()
    inputs = {"cgroup_events": [PLACE], "object_events": [seen(pod(), T), seen(SERVER, T)]}
    given = [ended(T + 10, T + 5), ended(T + 10, T - 10**12)]
    with monkeypatch.context() as broken:
        broken.setattr(line.pipeline, "_expire", None)
        with pytest.raises(TypeError):
            line.step(T + 20, connections=given, **inputs)
    told = line.step(T + 30, connections=given, **inputs)
    assert 2 == len(told.connections) + told.held_back
    assert 2 == len(told.connections) + len(line.step(T + 2 * pipeline.PATIENCE_NS).connections)


def test_gone_pods_are_forgotten_after_the_history() -> None:
    """The pipeline lets time pass for what it knows."""
    line = Line()
    line.step(T, object_events=[seen(pod(), T), seen(pod(), T + 1, model.Change.GONE)])
    line.step(T + 599 * 10**9)
    assert line.pipeline.owners.pod(POD_UID) is not None
    line.step(T + 610 * 10**9)
    assert line.pipeline.owners.pod(POD_UID) is None


def test_taking_over_answers_with_what_a_former_agent_knew() -> None:
    """Names too, not only the memory itself."""
    line = Line()
    owners = ownership.Ownership(history_s=600)
    owners.apply_cgroup(PLACE)
    for each in (pod(), SERVER):
        owners.apply_object(seen(each, T))
    line.pipeline.take_over(owners)
    line.kernel.establish(KEY, T + 10)
    assert [("client", "server")] == [(flow.local.name, flow.remote.name) for flow in line.step(T + 20).edges]


def test_after_a_restart_the_time_before_the_lists_is_blamed_on_nobody() -> None:
    """The pod came while no agent was there; what it did then is no look-up's fault, what it does next may be."""
    line = Line()
    line.kernel.establish(KEY, T + 10)
    line.step(T + 20, cgroup_events=[PLACE])
    line.kernel.establish(KEY, T + 3000 * MS)
    news = [seen(pod(), T + 4000 * MS), seen(SERVER, T + 4000 * MS)]
    [before] = line.step(T + 5000 * MS, object_events=news, heard=True).edges
    line.kernel.establish(KEY, T + 6000 * MS)
    [after] = line.step(T + 7000 * MS).edges
    found = [flow.local.views.judged for flow in (before, after) if flow.local.views is not None]
    same = verdicts.Verdict(verdicts.Match.SAME)
    unchecked = verdicts.Verdict()
    assert [(unchecked, unchecked), (same, same)] == [(each.ip, each.ip_read) for each in found]
