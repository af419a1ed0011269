"""What the API answers of the agent's state. Left out: HTTP (test_api) and who owned what (test_ownership)."""

import dataclasses
import ipaddress

import pytest

from agent import answers, clock, health, ledger, metrics, model, ownership, pipeline, verdicts, wire
from tests.fakes import flows

SECOND_NS = 10**9
ADDRESS = ipaddress.ip_address("10.7.0.9")
NOW = clock.Now(boot_ns=1000 * SECOND_NS, wall_ns=1_795_352_400 * SECOND_NS)
POD = model.Pod(
    uid=model.PodUid("0000000a-0000-4000-8000-000000000000"),
    namespace="shop",
    name="web-5d44",
    workload="web",
    workload_kind="Deployment",
    service_account="web",
    ips=(ADDRESS,),
)


def made(owners: ownership.Ownership, *, tick_ns: int = 0, synced: bool = False) -> answers.AgentAnswers:
    def no_health() -> health.Health:
        raise AssertionError("not asked for")

    line = pipeline.Pipeline(owners, max_edges=7)
    return answers.AgentAnswers(
        node_name="node-a",
        line=lambda: line,
        flows=metrics.FlowMetrics(max_series=7, grace_s=60, pod_labels=False, bounds_us=wire.RTT_BOUNDS_US),
        now_health=no_health,
        last_tick_ns=lambda: tick_ns,
        synced=lambda: synced,
    )


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be one moment."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(clock, "boot_ns", lambda: NOW.boot_ns)


@pytest.mark.parametrize(("ago_s", "alive"), [(0, True), (59, True), (60, False), (600, False)])
def test_alive_is_who_drains(*, ago_s: int, alive: bool) -> None:
    """Within a minute."""
    report = made(ownership.Ownership(history_s=600), tick_ns=NOW.boot_ns - ago_s * SECOND_NS).health()
    assert (alive, float(ago_s)) == (report.ok, report.detail["last_drain_seconds_ago"])


def test_who_has_not_drained_yet_is_alive_and_not_ready() -> None:
    """It is starting."""
    found = made(ownership.Ownership(history_s=600), synced=True)
    assert (True, False) == (found.health().ok, found.readiness().ok)


@pytest.mark.parametrize(("tick_ns", "synced", "ready"), [(7, True, True), (7, False, False), (0, True, False)])
def test_ready_needs_both(*, tick_ns: int, synced: bool, ready: bool) -> None:
    """A drain, and the API's lists."""
    assert ready is made(ownership.Ownership(history_s=600), tick_ns=tick_ns, synced=synced).readiness().ok


def test_owners_are_told_on_the_wall_s_clock() -> None:
    """Since before anything was known: no start. Gone: an end. A pod says whose it is."""
    owners = ownership.Ownership(history_s=600)
    seen = model.ObjectEvent(
        change=model.Change.SEEN, object=POD, boot_ns=NOW.boot_ns - 30 * SECOND_NS, since_boot_ns=0
    )
    gone = model.ObjectEvent(change=model.Change.GONE, object=POD, boot_ns=NOW.boot_ns - 10 * SECOND_NS)
    for event in (seen, gone):
        owners.apply_object(event)
    answer = made(owners).owners(ADDRESS, None)
    [owner] = answer.owners
    assert ("10.7.0.9", "node-a", "2026-11-22T13:00:00") == (answer.address, answer.node_name, answer.time[:19])
    assert ("", "2026-11-22T12:59:50") == (owner.start_time, owner.end_time[:19])
    assert (model.Kind.POD, "web-5d44", "web", "web") == (
        owner.kind, owner.name, owner.workloads[0].name, owner.service_account,
    )  # fmt: skip
    assert (model.Evidence.IP, "") == (owner.evidence, owner.proven_start_time)


def test_a_socket_of_this_node_is_proof() -> None:
    """It says so, and for which time."""
    owners = ownership.Ownership(history_s=600)
    at = NOW.boot_ns - 30 * SECOND_NS
    path = f"/kubepods/pod{POD.uid}/c1"
    owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=POD, boot_ns=at, since_boot_ns=at))
    owners.apply_cgroup(model.CgroupEvent(cgroup=model.CgroupId(7), path=path, boot_ns=at))
    owners.observe_kernel(ADDRESS, model.CgroupId(7), model.NetnsCookie(5), NOW.boot_ns - 20 * SECOND_NS)
    [owner] = made(owners).owners(ADDRESS, None).owners
    assert model.Evidence.KERNEL is owner.evidence
    assert "2026-11-22T12:59:40" == owner.proven_end_time[:19]


def test_other_owners_have_no_workload() -> None:
    """A Service has a namespace, a node has none."""
    owners = ownership.Ownership(history_s=600)
    service = model.Service(uid="s", namespace="shop", name="web", ips=(ADDRESS,))
    node = model.Node(uid="n", name="node-b", ips=(ipaddress.ip_address("10.0.0.2"),))
    for thing in (service, node):
        owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=thing, boot_ns=7))
    found = [made(owners).owners(thing.ips[0], 5).owners[0] for thing in (service, node)]
    assert [("shop", "web", ()), ("", "node-b", ())] == [(each.namespace, each.name, each.workloads) for each in found]
    assert [model.Kind.SERVICE, model.Kind.NODE] == [each.kind for each in found]


def test_an_address_of_nobody_is_an_empty_answer() -> None:
    """At the time that was asked for."""
    answer = made(ownership.Ownership(history_s=600)).owners(ADDRESS, NOW.wall_ns - 7 * SECOND_NS)
    assert ((), "2026-11-22T12:59:53") == (answer.owners, answer.time[:19])


def test_mismatches_are_told_with_their_windows() -> None:
    """What was checked, who was misnamed, and until when; a window that is open is as long as it has been."""
    asked = made(ownership.Ownership(history_s=600))
    line = asked.line()
    reused = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    views = model.Views(ledger.who(flows.WEB), None, model.NOBODY, None, verdicts.Verdicts(reused))
    start_ns = NOW.wall_ns - 30 * SECOND_NS
    flow = flows.edge(
        remote=dataclasses.replace(flows.WEB, views=views), start_wall_ns=start_ns, end_wall_ns=start_ns + SECOND_NS
    )
    asked.flows.add(flow, 1)
    line.differences.add([flow], NOW.wall_ns - NOW.boot_ns)
    told = asked.mismatches()
    [checked], [found] = told.checked, told.mismatches
    assert ("remote", "ip", 1, {verdicts.Mismatch.IP_REUSED: 1}) == (
        checked.end,
        checked.method,
        checked.checked,
        checked.mismatches,
    )
    assert ("web-5d44", "nobody", "10.7.1.9", ("shop/client",)) == (
        found.was.name,
        found.said,
        found.address,
        found.peers,
    )
    assert ("open", 30_000_000, "2026-11-22T12:59:30") == (found.window, found.window_us, found.start_time[:19])
    pod = dataclasses.replace(POD, ips=(ipaddress.ip_address("10.7.1.9"),))
    news = model.ObjectEvent(change=model.Change.SEEN, object=pod, boot_ns=NOW.boot_ns - 10 * SECOND_NS)
    line.lookup.apply(news)
    [found] = asked.mismatches().mismatches
    assert ("closed", 20_000_000) == (found.window, found.window_us)
