"""What a restarted agent takes over, and that it takes over all of it or nothing.

Left out: that nothing is missing over a real kill (tests/prove/restart.py), what the parts save (their own tests).
"""

import dataclasses
import ipaddress
import pathlib

import msgspec
import pytest

from agent import continuity, drops, ledger, metrics, model, ownership, pipeline, verdicts, wire
from ipseity import identity
from tests.fakes import flows, kernel

NOW_NS = 10**12
SECOND_NS = 10**9
TOLD = {"pods": NOW_NS - 3, "services": NOW_NS - 5, "nodes": NOW_NS - 7}
KEY = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080)
POD = model.Pod(
    uid=model.PodUid("0000000a-0000-4000-8000-000000000000"),
    namespace="shop",
    name="web",
    node="node-a",
    ips=(ipaddress.ip_address("10.7.0.3"),),
)


def parts(*, pod_labels: bool = False) -> tuple[metrics.FlowMetrics, pipeline.Pipeline]:
    """Make totals and a pipeline with nothing in them."""
    totals = metrics.FlowMetrics(max_series=7, grace_s=60, pod_labels=pod_labels, bounds_us=wire.RTT_BOUNDS_US)
    return totals, pipeline.Pipeline(ownership.Ownership(history_s=60), max_edges=64)


def saved(path: pathlib.Path) -> drops.Drops:
    """Write a checkpoint with one series; gives what was lost."""
    lost = drops.Drops()
    totals, line = parts()
    totals.add(flows.edge(), NOW_NS)
    assert continuity.Continuity(path, lost).save(totals, line, NOW_NS, TOLD)
    return lost


def test_totals_come_back(tmp_path: pathlib.Path) -> None:
    """And up to when the API has told who was who."""
    lost = saved(tmp_path / "state")
    totals, line = parts()
    assert TOLD == continuity.Continuity(tmp_path / "state", lost).resume(totals, line)
    assert (1, 0) == (len(totals), lost.by_stage["checkpoint_unreadable"])


@pytest.mark.parametrize("told_ns", [{}, {"pods": 0}, {"pods": NOW_NS - 500 * SECOND_NS}])
def test_what_the_api_has_not_told_is_not_as_new_as_the_file(tmp_path: pathlib.Path, told_ns: dict[str, int]) -> None:
    """It is written every few seconds, also where the API is away: since boot, or for minutes."""
    keeper = continuity.Continuity(tmp_path / "state", drops.Drops())
    assert keeper.save(*parts(), NOW_NS, told_ns)
    assert told_ns == keeper.resume(*parts())


def test_a_file_that_does_not_say_what_was_told_is_as_new_as_it_is(tmp_path: pathlib.Path) -> None:
    """An earlier version wrote it."""
    lost = saved(tmp_path / "state")
    state = msgspec.msgpack.decode((tmp_path / "state").read_bytes())
    del state["told_boot_ns"]
    (tmp_path / "state").write_bytes(msgspec.msgpack.encode(state))
    assert {"pods": NOW_NS, "services": NOW_NS, "nodes": NOW_NS} == (
        continuity.Continuity(tmp_path / "state", lost).resume(*parts())
    )


def test_names_of_tags_come_back(tmp_path: pathlib.Path) -> None:
    """Also where the API is away and tells only of this node's pods; a damaged one takes nothing over."""
    lost, web = drops.Drops(), identity.ServiceAccount("shop", "web")
    totals, line = parts()
    line.tags.learn(web)
    assert continuity.Continuity(tmp_path / "state", lost).save(totals, line, NOW_NS, TOLD)
    totals, line = parts()
    continuity.Continuity(tmp_path / "state", lost).resume(totals, line)
    assert web == line.tags.account(line.tags.tag(web))
    state = msgspec.msgpack.decode((tmp_path / "state").read_bytes())
    state["accounts"] = [["shop", "no account/"]]
    (tmp_path / "state").write_bytes(msgspec.msgpack.encode(state))
    assert {} == continuity.Continuity(tmp_path / "state", lost).resume(*parts())
    assert 1 == lost.by_stage["checkpoint_unreadable"]


def test_totals_without_their_edges_are_not_taken_over(tmp_path: pathlib.Path) -> None:
    """The kernel's counts since the programs were loaded would be added to totals that have them already."""
    lost = saved(tmp_path / "state")
    state = msgspec.msgpack.decode((tmp_path / "state").read_bytes())
    state["edges"]["wide"] = bytes(3)
    (tmp_path / "state").write_bytes(msgspec.msgpack.encode(state))
    totals, line = parts()
    assert {} == continuity.Continuity(tmp_path / "state", lost).resume(totals, line)
    assert (0, 1) == (len(totals), lost.by_stage["checkpoint_unreadable"])


def test_what_a_killed_agent_left_behind_is_written_over(tmp_path: pathlib.Path) -> None:
    """However often it is killed in the middle of writing, there is one such file; the next checkpoint takes it."""
    (tmp_path / ".state.new").write_bytes(bytes(23))
    saved(tmp_path / "state")
    assert ["state"] == [path.name for path in tmp_path.iterdir()]
    assert 0o600 == (tmp_path / "state").stat().st_mode & 0o777


def test_a_link_is_not_written_through(tmp_path: pathlib.Path) -> None:
    """What it names is as it was; the checkpoint is a file of its own."""
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / ".state.new").symlink_to("other")
    saved(tmp_path / "state")
    assert b"mine" == (tmp_path / "other").read_bytes()
    assert not (tmp_path / "state").is_symlink()


def told(of: pipeline.Pipeline, world: kernel.Kernel) -> int:
    """Step until patience is over; returns how many connections were told as opened."""
    count = 0
    for at in (NOW_NS, NOW_NS + 3 * SECOND_NS):
        keys, values, still_open = kernel.read(world, of.table)
        inputs = pipeline.Inputs(boot_ns=at, wall_of=lambda ns: ns, keys=keys, values=values, still_open=still_open)
        count += sum(flow.counters.opened for flow in of.step(inputs).edges)
    return count


@pytest.fixture
def stepped(tmp_path: pathlib.Path) -> tuple[pathlib.Path, kernel.Kernel]:
    """Save after one connection was told, with a pod and a total."""
    world, first, sums = kernel.Kernel(), parts()[1], parts()[0]
    world.establish(KEY, NOW_NS - 1)
    first.owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=POD, boot_ns=NOW_NS))
    assert 1 == told(first, world)
    sums.add(flows.edge(), NOW_NS)
    assert continuity.Continuity(tmp_path / "state", drops.Drops()).save(sums, first, NOW_NS + 7, TOLD)
    return tmp_path / "state", world


def test_an_adopted_kernel_is_gone_on_with(stepped: tuple[pathlib.Path, kernel.Kernel]) -> None:
    """Totals, names, and what was told: nothing of it is told again."""
    path, world = stepped
    again, sums = parts()[1], parts()[0]
    assert TOLD == continuity.Continuity(path, drops.Drops()).resume(sums, again)
    assert POD == again.owners.pod(POD.uid)
    assert parts()[0].dump() != sums.dump()
    assert 0 == told(again, world)
    world.establish(KEY, NOW_NS + 1)
    assert 1 == told(again, world)


def test_a_table_made_anew_is_told_from_zero(stepped: tuple[pathlib.Path, kernel.Kernel]) -> None:
    """Its edges have other ids, also for the same keys: what was told of the former ones is taken off nothing."""
    path, _ = stepped
    again, anew = parts()[1], kernel.Kernel()
    assert TOLD == continuity.Continuity(path, drops.Drops()).resume(parts()[0], again)
    anew.establish(KEY, NOW_NS + 3)
    assert 1 == told(again, anew)
    assert POD == again.owners.pod(POD.uid)


def test_totals_with_other_labels_begin_with_what_the_kernel_has(
    stepped: tuple[pathlib.Path, kernel.Kernel],
) -> None:
    """They cannot be read; the kernel's table still holds what its edges did, and it is told anew."""
    path, world = stepped
    again, sums = parts()[1], parts(pod_labels=True)[0]
    continuity.Continuity(path, drops.Drops()).resume(sums, again)
    assert 1 == told(again, world)


def test_the_first_start_is_silent(tmp_path: pathlib.Path) -> None:
    """No file is no loss."""
    lost = drops.Drops()
    assert {} == continuity.Continuity(tmp_path / "state", lost).resume(parts()[0], parts()[1])
    assert {} == lost.by_stage


def test_a_disk_that_refuses_is_counted_every_time(tmp_path: pathlib.Path) -> None:
    """And the agent goes on."""
    lost = drops.Drops()
    (tmp_path / "file").write_text("")
    keeper = continuity.Continuity(tmp_path / "file" / "state", lost)
    assert [False, False, False] == [keeper.save(parts()[0], parts()[1], NOW_NS, {}) for _ in range(3)]
    assert {"checkpoint_failed": 3} == lost.by_stage


def test_who_had_an_address_and_what_was_wrong_come_back(tmp_path: pathlib.Path) -> None:
    """The history of an address, the look-up that is held against it, and who was misnamed: as if nothing had been."""
    ip, lost = POD.ips[0], drops.Drops()
    heir = dataclasses.replace(POD, uid=model.PodUid("0000000b-0000-4000-8000-000000000000"), name="cron")
    before, after = parts()[1], parts()[1]
    for at, change, pod in (
        (NOW_NS, model.Change.SEEN, POD),
        (NOW_NS + SECOND_NS, model.Change.GONE, POD),
        (NOW_NS + 2 * SECOND_NS, model.Change.SEEN, heir),
    ):
        event = model.ObjectEvent(change=change, object=pod, boot_ns=at)
        before.owners.apply_object(event)
        before.lookup.apply(event)
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    views = model.Views(kernel=ledger.who(flows.WEB), ip=model.NOBODY, judged=verdicts.Verdicts(wrong))
    before.differences.add([flows.edge(remote=dataclasses.replace(flows.WEB, views=views))], 0)
    held = continuity.Continuity(tmp_path / "state", lost)
    assert held.save(parts()[0], before, NOW_NS + 3 * SECOND_NS, TOLD)
    continuity.Continuity(tmp_path / "state", lost).resume(parts()[0], after)
    assert before.owners.history(ip) == after.owners.history(ip)
    assert ["web", "cron"] == [line.owner.name for line in after.owners.history(ip)]
    moments = [NOW_NS + tenths * SECOND_NS // 10 for tenths in (5, 15, 25)]
    said = [
        [claim.owner.name if (claim := each.lookup.at(ip, at)) else "" for at in moments] for each in (before, after)
    ]
    assert [["web", "", "cron"]] * 2 == said
    assert before.differences.lines() == after.differences.lines() != []


@pytest.mark.parametrize("count", [15, 16, 1_000, 1_015, 1_016])
def test_everybody_comes_back(tmp_path: pathlib.Path, count: int) -> None:
    """Who was who is written in pieces of 1,000, whose heads have one or three bytes."""
    lost = drops.Drops()
    totals, line = parts()
    everybody = [
        dataclasses.replace(POD, uid=model.PodUid(f"{number:08x}"), ips=(ipaddress.ip_address(0x0A070000 + number),))
        for number in range(count)
    ]
    for each in everybody:
        line.owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=each, boot_ns=NOW_NS))
    assert continuity.Continuity(tmp_path / "state", lost).save(totals, line, NOW_NS, TOLD)
    totals, line = parts()
    continuity.Continuity(tmp_path / "state", lost).resume(totals, line)
    assert everybody == list(line.owners.alive(model.Pod).values())
    assert everybody == [line.owners.at(each.ips[0], NOW_NS, NOW_NS) for each in everybody]
