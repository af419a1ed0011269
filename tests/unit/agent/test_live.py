"""One sweep's arithmetic: payload of open sockets, by edge or since last time. Left out: the sweep (test_sockets)."""

import ipaddress
from collections.abc import Sequence

import numpy as np
import pytest

from agent import edges, live, model, wire
from tests.fakes import kernel

ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING = 1, 4, 5, 8, 9, 11
NOW = 10**15
NETNS = kernel.NETNS
REMOTES = live.Remotes(edges.Prefixes([ipaddress.ip_network("10.0.0.0/8")], [ipaddress.ip_network("203.0.113.0/24")]))
NOBODY: frozenset[tuple[int, int]] = frozenset()


def packed(text: str) -> bytes:
    return wire.packed(ipaddress.ip_address(text))


def opened(
    cookie: int = 1, *, remote: str = "10.7.0.3", state: int = ESTABLISHED, sent: int = 0, received: int = 0
) -> model.OpenSocket:
    """Make an open socket of 10.7.0.2:40001 with a remote port of 8080."""
    return model.OpenSocket(
        cookie=cookie,
        netns=NETNS,
        cgroup=model.CgroupId(7),
        state=state,
        local=packed("10.7.0.2"),
        remote=packed(remote),
        local_port=40001,
        remote_port=8080,
        moved=model.Moved(sent, received, 11, 13, 2),
    )


@pytest.mark.parametrize(
    ("state", "active", "expected"),
    [
        (ESTABLISHED, True, (1008, 2003)),
        (ESTABLISHED, False, (1009, 2003)),
        (FIN_WAIT1, False, (1009, 2003)),
        (FIN_WAIT2, True, (1007, 2003)),
        (FIN_WAIT2, False, (1008, 2003)),
        (CLOSE_WAIT, False, (1009, 2002)),
        (LAST_ACK, True, (1008, 2002)),
        (CLOSING, False, (1009, 2002)),
    ],
)
def test_syn_and_fin_are_no_payload(state: int, *, active: bool, expected: tuple[int, int]) -> None:
    """Each takes a sequence number, and the kernel counts it once it is acknowledged or received."""
    moved = live.payload(model.Moved(1009, 2003, 0, 0, 0), state, active=active)
    assert expected == moved[:2]


def test_payload_is_never_negative() -> None:
    """A socket that has moved nothing, or whose SYN is not acknowledged."""
    assert (0, 0) == live.payload(model.Moved(0, 0, 0, 0, 0), CLOSING, active=True)[:2]


KEY = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080)


def slot(cookie: int, *, established: int = 1, opened_ns: int = NOW, key: wire.Array = KEY) -> wire.Array:
    """Make a slot as the kernel would write it."""
    row = kernel.Connection(key=key.tobytes(), cookie=cookie, opened_ns=opened_ns, connect_us=0).row
    row["established"] = established
    return row


def still_open(*slots: wire.Array, sockets: Sequence[model.OpenSocket]) -> dict[bytes, tuple[int, ...]]:
    """Give connections and what they have moved, by key."""
    found = live.still_open(np.concatenate(slots), sockets, asked_boot_ns=NOW)
    names = ("opened", "sent_bytes", "received_bytes", "sent_segments", "received_segments", "retransmits")
    return {
        key.tobytes(): tuple(int(value[name]) for name in names)
        for key, value in zip(found.keys, found.values, strict=True)
    }


def test_followed_connections_add_up_by_edge() -> None:
    """Two of one edge are one sum, under the key in the slot; an unfollowed one is nobody's here."""
    sockets = [opened(1, sent=102), opened(2, sent=104, received=5), opened(3, sent=999)]
    assert {KEY.tobytes(): (2, 101 + 103, 5, 22, 26, 4)} == still_open(slot(1), slot(2), sockets=sockets)


def test_the_key_is_the_slot_s_not_the_socket_s() -> None:
    """sock_diag tells the cgroup of now and the exact address; the edge is charged as the programs noted."""
    other = kernel.key(8, local="10.7.0.2", remote="0.0.0.0", port=40001, direction=1)
    assert {other.tobytes(): (1, 2, 0, 11, 13, 2)} == still_open(slot(1, key=other), sockets=[opened(1, sent=2)])


def test_a_slot_that_is_not_established_is_no_open_connection() -> None:
    """Its key may be half written, or its edge be charged already."""
    assert {} == still_open(slot(1, established=0), sockets=[opened(1, sent=102)])


def test_a_socket_that_has_connected_again_has_moved_nothing_yet() -> None:
    """What was asked was of the connection before: it counts with the next sweep."""
    found = still_open(slot(1, opened_ns=NOW + 1), slot(2), sockets=[opened(1, sent=102), opened(2, sent=104)])
    assert {KEY.tobytes(): (2, 103, 0, 11, 13, 2)} == found


def test_outside_addresses_are_masked_as_the_kernel_masks_them() -> None:
    """The prefix that was configured, else everything of its family."""
    assert (packed("203.0.113.0"), 120) == REMOTES.of(packed("203.0.113.7"))
    assert (packed("0.0.0.0"), 96) == REMOTES.of(packed("192.0.2.1"))
    assert (bytes(16), 0) == REMOTES.of(packed("2001:db8::1"))
    assert REMOTES.of(packed("203.0.113.9")) == REMOTES.of(packed("203.0.113.9"))


def test_what_an_older_connection_did_before_is_not_claimed() -> None:
    """The first sweep tells nothing; the next ones what was added."""
    older = live.Older()
    assert [] == older.changes([opened(sent=1009)], (), NOBODY, REMOTES, NOW)
    assert 1 == len(older)
    [change] = older.changes([opened(sent=1012, received=5)], (), NOBODY, REMOTES, NOW + 1)
    assert (model.Counters(sent_bytes=3, received_bytes=5), NOW + 1) == (change.counters, change.last_boot_ns)
    assert [] == older.changes([opened(sent=1012, received=5)], (), NOBODY, REMOTES, NOW + 2)


def test_a_closing_older_connection_never_counts_back() -> None:
    """Entering a state in which a FIN is taken off may make a difference negative: it is zero."""
    older = live.Older()
    older.changes([opened(sent=7, received=7)], (), NOBODY, REMOTES, NOW)
    [change] = older.changes([opened(sent=11, received=7, state=CLOSE_WAIT)], (), NOBODY, REMOTES, NOW)
    assert (4, 0) == (change.counters.sent_bytes, change.counters.received_bytes)


def test_a_listening_port_makes_a_passive_end() -> None:
    """Of the same namespace; another namespace's listener says nothing."""
    for listening, expected in (
        (frozenset({(int(NETNS), 40001)}), (model.Direction.INGRESS, 40001)),
        (frozenset({(1, 40001), (int(NETNS), 40002)}), (model.Direction.EGRESS, 8080)),
    ):
        older = live.Older()
        older.changes([opened()], (), listening, REMOTES, NOW)
        [change] = older.changes([opened(sent=3)], (), listening, REMOTES, NOW)
        assert expected == (change.edge.direction, change.edge.port)
        assert 0 == change.edge.id, "no edge of the kernel's"


def test_older_ones_that_ended_are_forgotten() -> None:
    """What is kept is what is open; a cookie that the programs follow now is theirs."""
    older = live.Older()
    older.changes([opened(cookie) for cookie in range(1, 8)], (), NOBODY, REMOTES, NOW)
    assert 7 == len(older)
    assert [] == older.changes([opened(1, sent=5), opened(2)], {1}, NOBODY, REMOTES, NOW)
    assert 1 == len(older)


def test_outside_ends_of_older_connections_are_prefixes() -> None:
    """As an edge of the kernel would have them."""
    older = live.Older()
    older.changes([opened(remote="203.0.113.7")], (), NOBODY, REMOTES, NOW)
    [change] = older.changes([opened(remote="203.0.113.7", sent=3)], (), NOBODY, REMOTES, NOW)
    assert ipaddress.ip_network("203.0.113.0/24") == change.edge.remote
