"""Lines of who was misnamed, their windows, and that they outlive the agent. Left out: verdicts (test_ledger)."""

import dataclasses
import ipaddress
from typing import Any

from agent import differences, iplookup, ledger, model, verdicts
from agent.verdicts import Match, Mismatch
from tests.fakes import flows

SECOND = 10**9
BOOT = flows.T0 - 10**15
"""Wall time when boot time was 0."""
FORMER = model.Who(model.Kind.POD, "shop", "report-1", "6f0c", "report", "Job", "report")
WRONG = verdicts.Verdict(Match.DIFFERENT, Mismatch.IP_REUSED)
SAME = verdicts.Verdict(Match.SAME)


def misnamed(*, said: model.Who = FORMER, judged: verdicts.Verdicts | None = None, **more: Any) -> model.Flow:
    """Client to web, whose address is said to be somebody else's."""
    judged = judged or verdicts.Verdicts(WRONG, SAME)
    views = model.Views(ledger.who(flows.WEB), None, said, said, judged)
    return flows.edge(remote=dataclasses.replace(flows.WEB, views=views), **more)


def test_a_line_says_who_and_how_much() -> None:
    """Flows of one owner that were misnamed in one way are one line."""
    table = differences.Differences()
    later = {"start_wall_ns": flows.T0 + SECOND, "end_wall_ns": flows.T0 + 2 * SECOND}
    table.add([misnamed(), flows.edge(), misnamed(**later)], BOOT)
    [line] = table.lines()
    assert ("remote", "ip", Mismatch.IP_REUSED, "10.7.1.9") == line.key[:4]
    assert ("web-5d44", "report-1") == (line.key.was.name, line.key.said.name)
    moved = flows.COUNTERS.sent_bytes + flows.COUNTERS.received_bytes
    assert (2, 2 * flows.COUNTERS.opened, 2 * moved) == (line.flows, line.opened, line.moved_bytes)
    assert (10**15, 10**15 + 2 * SECOND) == (line.first_boot_ns, line.last_boot_ns)
    assert ("shop/client",) == line.peers


def test_each_method_has_a_line_of_its_own() -> None:
    """What was right at the time may be wrong when it was read, and the other way round."""
    table = differences.Differences()
    table.add([misnamed(judged=verdicts.Verdicts(WRONG, WRONG, WRONG))], BOOT)
    assert ["ip", "ip_read", "handshake"] == [line.key.method for line in table.lines()]


def test_a_window_ends_when_the_look_up_has_heard() -> None:
    """From the first flow that was misnamed to the news that put it right."""
    lookup, table = iplookup.IpLookup(history_s=600), differences.Differences()
    heir = ipaddress.ip_address("10.7.1.9")

    def tell(uid: str, boot_ns: int) -> None:
        pod = model.Pod(uid=model.PodUid(uid), namespace="shop", name=uid, ips=(heir,))
        lookup.apply(model.ObjectEvent(change=model.Change.SEEN, object=pod, boot_ns=boot_ns))

    tell("6f0c", 10**15 - SECOND)
    table.add([misnamed()], BOOT)
    table.close(lookup)
    [line] = table.lines()
    assert line.until_boot_ns is None
    tell("a91e", 10**15 + 3 * SECOND)
    table.close(lookup)
    assert 10**15 + 3 * SECOND == line.until_boot_ns


def test_what_no_news_will_put_right_has_no_window() -> None:
    """A hostNetwork pod is behind the node's address as long as it lives."""
    table = differences.Differences()
    lasting = verdicts.Verdict(Match.DIFFERENT, Mismatch.HOST_NETWORK)
    table.add([misnamed(judged=verdicts.Verdicts(lasting))], BOOT)
    table.close(iplookup.IpLookup(history_s=600))
    [line] = table.lines()
    assert (False, None) == (line.passes, line.until_boot_ns)


def test_lines_are_bounded() -> None:
    """The one that was not seen for longest makes room, and it is counted."""
    table = differences.Differences()
    table.add([misnamed(said=FORMER._replace(uid=str(number))) for number in range(1030)], BOOT)
    assert (1024, 6) == (len(table.lines()), table.evicted)
    assert {str(number) for number in range(6, 1030)} == {line.key.said.uid for line in table.lines()}


def test_peers_are_bounded() -> None:
    """The first few are enough to know where to look."""
    table = differences.Differences()
    for number in range(20):
        table.add([misnamed(local=dataclasses.replace(flows.CLIENT, workload=f"client-{number}"))], BOOT)
    [line] = table.lines()
    assert 8 == len(line.peers)


def test_lines_outlive_the_agent() -> None:
    """What was saved comes back as it was; what cannot be read is left."""
    table = differences.Differences()
    table.add([misnamed(), misnamed(said=model.NOBODY)], BOOT)
    after = differences.Differences()
    assert after.load(table.dump())
    assert table.lines() == after.lines()
    after.add([misnamed()], BOOT)
    assert [1, 2] == sorted(line.flows for line in after.lines())
    for damaged in (None, {}, {"lines": [1], "evicted": 0}):
        assert not differences.Differences().load(damaged)
