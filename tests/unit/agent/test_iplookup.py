"""What a look-up in API events alone says, and said. Left out: whether it was right (test_ledger)."""

import dataclasses
import ipaddress

import pytest

from agent import iplookup, model, ownership

T = 10**12
SECOND = 10**9
IP = ipaddress.ip_address("10.7.0.9")


def pod(
    number: int, *, terminal: bool = False, host_network: bool = False, has: bool = True, deleting: bool = False
) -> model.Pod:
    return model.Pod(
        uid=model.PodUid(f"{number:08x}-0000-4000-8000-000000000000"),
        namespace="shop",
        name=f"pod-{number}",
        node="node-a",
        ips=(IP,) if has else (),
        terminal=terminal,
        deleting=deleting,
        host_network=host_network,
    )


def said(lookup: iplookup.IpLookup, at_ns: int) -> str:
    claim = lookup.at(IP, at_ns)
    return claim.owner.name if claim else "nobody"


def tell(lookup: iplookup.IpLookup, thing: ownership.Object, at_ns: int, **more: int) -> None:
    lookup.apply(model.ObjectEvent(change=model.Change.SEEN, object=thing, boot_ns=at_ns, **more))


def gone(lookup: iplookup.IpLookup, thing: ownership.Object, at_ns: int) -> None:
    lookup.apply(model.ObjectEvent(change=model.Change.GONE, object=thing, boot_ns=at_ns))


@pytest.fixture
def lookup() -> iplookup.IpLookup:
    return iplookup.IpLookup(history_s=600)


def test_it_says_what_was_told_by_then(lookup: iplookup.IpLookup) -> None:
    """Not before the news came, and not after the deletion was told; the past stays as it was."""
    tell(lookup, pod(1), T)
    gone(lookup, pod(1), T + SECOND)
    tell(lookup, pod(2), T + 2 * SECOND)
    moments = (T - 1, T, T + SECOND - 1, T + SECOND, T + 2 * SECOND)
    assert ["nobody", "pod-1", "pod-1", "nobody", "pod-2"] == [said(lookup, at) for at in moments]


def test_a_deletion_ends_only_what_that_uid_claimed(lookup: iplookup.IpLookup) -> None:
    """The news that the former owner is gone may come after the next one has the address."""
    tell(lookup, pod(1), T)
    tell(lookup, pod(2), T + SECOND)
    assert "pod-2" == said(lookup, T + SECOND), "the newest claim wins"
    gone(lookup, pod(1), T + 2 * SECOND)
    assert "pod-2" == said(lookup, T + 2 * SECOND)


def test_when_the_newest_ends_the_one_before_holds_again(lookup: iplookup.IpLookup) -> None:
    """Two pods that both have it is a fault of the cluster, not of the look-up."""
    tell(lookup, pod(1), T)
    tell(lookup, pod(2), T + 1)
    gone(lookup, pod(2), T + 2)
    assert "pod-1" == said(lookup, T + 2)


@pytest.mark.parametrize("thing", [pod(1, terminal=True), pod(1, host_network=True), pod(1, has=False)])
def test_who_has_no_address_of_its_own_claims_none(lookup: iplookup.IpLookup, thing: model.Pod) -> None:
    """A pod that is done, one that uses the node's, one that has none yet."""
    tell(lookup, thing, T)
    assert "nobody" == said(lookup, T)


@pytest.mark.parametrize(
    ("ends", "ending"),
    [
        (lambda lookup: gone(lookup, pod(1), T + 1), iplookup.Ending.GONE),
        (lambda lookup: tell(lookup, pod(1, terminal=True), T + 1), iplookup.Ending.TERMINAL),
        (lambda lookup: tell(lookup, pod(1, terminal=True, deleting=True), T + 1), iplookup.Ending.GONE),
        (lambda lookup: tell(lookup, pod(1, has=False), T + 1), iplookup.Ending.MOVED),
        (lambda lookup: tell(lookup, pod(1), T + 1), iplookup.Ending.NOT),
    ],
)
def test_how_a_claim_ended_is_kept(lookup: iplookup.IpLookup, ends: object, ending: iplookup.Ending) -> None:
    """Deletion, the pod's own end, another address; an old status that is sent again ends nothing."""
    assert callable(ends)
    tell(lookup, pod(1), T)
    ends(lookup)
    [claim] = lookup.history(IP)
    assert ending is claim.ending
    assert (ending is not iplookup.Ending.NOT) is (claim.until_ns == T + 1)


def test_the_first_list_was_true_before_it_was_read(lookup: iplookup.IpLookup) -> None:
    """Nobody could have asked earlier."""
    tell(lookup, pod(1), T, since_boot_ns=0)
    assert "pod-1" == said(lookup, T - SECOND)


def test_news_after_an_outage_say_since_when(lookup: iplookup.IpLookup) -> None:
    """It is believed from its arrival on, and may have been true since the API was last heard."""
    tell(lookup, pod(1), T, since_boot_ns=T - SECOND)
    assert "nobody" == said(lookup, T - 1)
    assert T - SECOND == lookup.history(IP)[0].since_ns


def test_a_node_keeps_its_address_before_a_load_balancer(lookup: iplookup.IpLookup) -> None:
    """As k3s has it, whichever was told last."""
    tell(lookup, model.Node(uid="n", name="node-a", ips=(IP,)), T)
    tell(lookup, model.Service(uid="s", namespace="shop", name="web", ips=(IP,)), T + 1)
    assert "node-a" == said(lookup, T + 1)


@pytest.mark.parametrize(
    ("address", "known"), [("10.7.0.9", True), ("10.7.3.4", True), ("10.8.0.1", False), ("fd00::1", False)]
)
def test_it_speaks_of_what_was_claimed_and_of_the_nodes_ranges(
    lookup: iplookup.IpLookup, address: str, *, known: bool
) -> None:
    """Of anything else it cannot be expected to know."""
    tell(lookup, pod(1), T)
    cidrs = (ipaddress.ip_network("10.7.3.0/24"), ipaddress.ip_network("fd00:1::/64"))
    tell(lookup, model.Node(uid="n", name="node-b", pod_cidrs=cidrs), T)
    assert known is lookup.knows(ipaddress.ip_address(address))


def test_what_ended_long_ago_is_forgotten(lookup: iplookup.IpLookup) -> None:
    """And only that."""
    tell(lookup, pod(1), T)
    gone(lookup, pod(1), T + SECOND)
    tell(lookup, pod(2), T + 2 * SECOND)
    lookup.expire(T + 602 * SECOND)
    assert ["pod-2"] == [claim.owner.name for claim in lookup.history(IP)]
    gone(lookup, pod(2), T + 603 * SECOND)
    lookup.expire(T + 1300 * SECOND)
    assert not lookup.history(IP)
    assert not lookup._open


def test_claims_to_one_address_are_bounded(lookup: iplookup.IpLookup) -> None:
    """Those that ended first go first."""
    for number in range(200):
        tell(lookup, pod(number), T + 2 * number)
        gone(lookup, pod(number), T + 2 * number + 1)
    assert 64 == len(lookup.history(IP))
    assert "pod-199" == said(lookup, T + 398)


def test_it_goes_on_from_what_an_earlier_run_knew() -> None:
    """Who is gone had the address until then; who is there has it now."""
    owners = ownership.Ownership(history_s=600)
    former, heir = pod(1), dataclasses.replace(pod(2), terminal=False)
    for event in (
        model.ObjectEvent(change=model.Change.SEEN, object=former, boot_ns=T),
        model.ObjectEvent(change=model.Change.GONE, object=former, boot_ns=T + 5),
        model.ObjectEvent(change=model.Change.SEEN, object=heir, boot_ns=T + 7),
    ):
        owners.apply_object(event)
    lookup = iplookup.IpLookup(history_s=600)
    lookup.load(owners.objects.values())
    assert ["pod-1", "nobody", "pod-2"] == [said(lookup, at) for at in (T + 4, T + 5, T + 7)]
    assert iplookup.Ending.GONE is lookup.history(IP)[0].ending
