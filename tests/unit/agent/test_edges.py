"""Differences, held back rows, checkpoints and prefixes. Left out: random histories (tests/sim/test_told_once.py)."""

import ipaddress

import numpy as np
import pytest

from agent import edges, model, pending, wire
from tests.fakes import kernel

NOW = 10**15
KEY = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080, direction=1)
OTHER = kernel.key(7, local="10.7.0.2", remote="10.7.0.4", port=8080, direction=1)


def read(
    table: edges.Table, world: kernel.Kernel, *, sweeps: bool = False, idle_before_boot_ns: int = 0
) -> edges.Difference:
    """Compare what the kernel has now with what was told."""
    keys, values, still_open = kernel.read(world, table, sweeps=sweeps)
    return table.difference(
        keys, values, still_open=still_open, gone=world.gone, idle_before_boot_ns=idle_before_boot_ns
    )


def test_an_edge_is_named_by_its_key() -> None:
    """Every column comes out as what it is."""
    world, table = kernel.Kernel(), edges.Table()
    world.establish(OTHER, NOW)
    [change] = read(table, world).changes
    expected = edges.Edge(
        id=NOW << 8 | 1,
        cgroup=model.CgroupId(7),
        netns=kernel.NETNS,
        local=ipaddress.ip_address("10.7.0.2"),
        remote=ipaddress.ip_address("10.7.0.4"),
        port=8080,
        direction=model.Direction.INGRESS,
        protocol=model.Protocol.TCP,
    )
    assert (expected, NOW) == (change.edge, change.last_boot_ns)
    assert NOW == change.edge.first_boot_ns


def test_every_counter_has_its_name() -> None:
    """All columns of a row with different primes: none is mistaken for another."""
    value = np.zeros(1, wire.EDGE_VALUE)
    names = ("opened", "closed", "sent_segments", "received_segments", "retransmits")
    names += ("sent_bytes", "received_bytes", "rtt_us_sum", "connect_us_sum")
    primes = dict(zip(names, (23, 19, 101, 103, 2, 1009, 2003, 4001, 5003), strict=True))
    for name, prime in primes.items():
        value[name] = prime
    value["failed"] = (3, 5, 7, 11, 13)
    value["rtt"][0, 4] = 17
    value["connect"][0, 15] = 29
    value["id"] = 1 << 8
    found = edges.Table().difference(KEY, value, idle_before_boot_ns=0)
    expected = model.Counters(
        **primes,
        failed=(3, 5, 7, 11, 13),
        rtt_us_buckets=(0, 0, 0, 0, 17, *[0] * 11),
        connect_us_buckets=(*[0] * 15, 29),
    )
    assert [expected] == [change.counters for change in found.changes]


def test_what_was_told_is_not_told_again() -> None:
    """Without news there is no change; with news, only the news."""
    world, table = kernel.Kernel(), edges.Table()
    one = world.establish(KEY, NOW)
    table.commit(read(table, world))
    assert [] == list(read(table, world).changes)
    one.sent = 1009
    world.end(one, NOW + 1)
    [change] = read(table, world).changes
    assert model.Counters(closed=1, sent_bytes=1009) == change.counters


def test_nothing_counts_as_told_before_it_is_committed() -> None:
    """A step that fails between the two loses nothing: the same comes again."""
    world, table = kernel.Kernel(), edges.Table()
    world.establish(KEY, NOW)
    first = [change.counters for change in read(table, world).changes]
    table.commit(read(table, world), held_back={change.edge.id for change in read(table, world).changes})
    assert [model.Counters(opened=1)] == first == [change.counters for change in read(table, world).changes]


def test_a_held_back_edge_comes_again_and_the_others_do_not() -> None:
    """Also where nothing new has happened on it since."""
    world, table = kernel.Kernel(), edges.Table()
    for key in (KEY, OTHER):
        world.establish(key, NOW)
    found = read(table, world)
    table.commit(found, held_back={found.changes[1].edge.id})
    assert [found.changes[1]] == list(read(table, world).changes)


def test_a_reading_in_another_order_is_the_same_reading() -> None:
    """The kernel's hash table walks as it likes."""
    world, table = kernel.Kernel(), edges.Table()
    for key in (KEY, OTHER):
        world.establish(key, NOW)
    table.commit(read(table, world))
    world.establish(OTHER, NOW + 1)
    keys, values, still_open = kernel.read(world, table)
    found = table.difference(keys[::-1].copy(), values[::-1].copy(), still_open=still_open, idle_before_boot_ns=0)
    assert [(OTHER["direction"][0], 1)] == [(each.edge.direction, each.counters.opened) for each in found.changes]


def test_a_key_that_comes_back_is_a_new_edge() -> None:
    """It has a new id: what was told of the former one is not taken off."""
    world, table = kernel.Kernel(), edges.Table()
    world.end(world.establish(KEY, NOW), NOW)
    table.commit(read(table, world))
    world.forget(KEY)
    table.commit(read(table, world))
    table.commit(read(table, world))
    assert 0 == len(table)
    world.establish(KEY, NOW + 1)
    assert [model.Counters(opened=1)] == [change.counters for change in read(table, world).changes]


def test_open_bytes_are_told_once() -> None:
    """First by the sweep, and then not again when the connection charges its edge."""
    world, table = kernel.Kernel(), edges.Table()
    one = world.establish(KEY, NOW)
    one.sent, one.received = 1009, 2003
    found = read(table, world, sweeps=True)
    assert [model.Counters(opened=1, sent_bytes=1009, received_bytes=2003)] == [each.counters for each in found.changes]
    table.commit(found)
    one.sent += 7
    world.end(one, NOW + 1)
    assert [model.Counters(closed=1, sent_bytes=7)] == [each.counters for each in read(table, world).changes]


def test_open_segments_go_to_their_columns() -> None:
    """Sent, received, repeated: in this order in a socket and in a row."""
    world, table = kernel.Kernel(), edges.Table()
    one = world.establish(KEY, NOW)
    keys, values, _ = kernel.read(world, table)
    still_open = pending.by_edge(one.row, [model.Moved(3, 5, 7, 11, 13)], [0])
    [change] = table.difference(keys, values, still_open=still_open, idle_before_boot_ns=0).changes
    told = change.counters
    assert (7, 11, 13) == (told.sent_segments, told.received_segments, told.retransmits)


def test_a_connection_whose_edge_is_not_there_waits() -> None:
    """One that opened after the edges were read: its edge is in the next reading."""
    world, table = kernel.Kernel(), edges.Table()
    keys, values, _ = kernel.read(world, table)
    world.establish(OTHER, NOW)
    assert [] == list(table.difference(keys, values, still_open=world.still_open(), idle_before_boot_ns=0).changes)
    assert [1] == [change.counters.opened for change in read(table, world).changes]


def test_connections_are_told_when_they_open_and_not_again_when_they_end() -> None:
    """Their count and how long connecting took; the end adds that it is one."""
    world, table = kernel.Kernel(), edges.Table()
    key = kernel.key(7, local="10.7.0.2", remote="10.7.0.6", port=8080)
    one, _ = (world.establish(key, NOW + at, connect_us=5003) for at in range(2))
    found = read(table, world)
    [change] = found.changes
    expected = model.Counters(opened=2, connect_us_sum=10006, connect_us_buckets=(*[0] * 7, 2, *[0] * 8))
    assert (expected, NOW, NOW + 1 + 5003 * 1000) == (
        change.counters, change.edge.first_boot_ns, change.last_boot_ns,
    )  # fmt: skip
    table.commit(found)
    assert [] == list(read(table, world).changes)
    world.end(one, NOW + 10)
    assert [model.Counters(closed=1)] == [change.counters for change in read(table, world).changes]


def test_a_connection_that_ends_within_a_reading_is_missing_once() -> None:
    """It is not in the edges any more than it is in the slots: the next reading has it, and nothing went back."""
    world, table = kernel.Kernel(), edges.Table()
    one, _ = (world.establish(KEY, NOW + at) for at in range(2))
    table.commit(read(table, world))
    world.establish(KEY, NOW + 3)
    keys, values = world.edges()
    world.end(one, NOW + 4)
    found = table.difference(keys, values, still_open=world.still_open(), idle_before_boot_ns=0)
    assert [] == list(found.changes)
    table.commit(found)
    assert [model.Counters(opened=1, closed=1)] == [change.counters for change in read(table, world).changes]


def test_what_opened_on_an_edge_that_is_just_forgotten_is_told_under_the_next_one() -> None:
    """The last reading of the old one does not get it: it would be told again under the new id."""
    world, table = kernel.Kernel(), edges.Table()
    world.end(world.establish(KEY, NOW), NOW + 1)
    table.commit(read(table, world))
    world.establish(KEY, NOW + 2)
    world.forget(KEY)
    told = [read(table, world)]
    assert (1, [], []) == (world.gone, list(told[0].changes), told[0].idle.tolist())
    table.commit(told[0])
    assert [(1, NOW + 2)] == [(each.counters.opened, each.edge.first_boot_ns) for each in read(table, world).changes]


def test_the_last_reading_of_an_edge_is_not_idle() -> None:
    """It is forgotten already: doing it again would be the end of a new edge with its key."""
    world, table = kernel.Kernel(), edges.Table()
    world.end(world.establish(KEY, NOW), NOW)
    table.commit(read(table, world))
    assert [0] == read(table, world, idle_before_boot_ns=NOW + 1).idle.tolist()
    world.forget(KEY)
    assert [] == read(table, world, idle_before_boot_ns=NOW + 1).idle.tolist()


def test_unknown_keys_are_those_without_an_edge_in_the_last_reading() -> None:
    """A new table knows none."""
    world, table = kernel.Kernel(), edges.Table()
    world.establish(KEY, NOW)
    both = np.concatenate([OTHER, KEY])
    assert [0, 1] == table.unknown(both).tolist()
    read(table, world)
    assert [0] == table.unknown(both).tolist()


def test_a_count_that_moves_to_another_cause_is_never_negative() -> None:
    """The kernel learns why after it counted: what is taken back waits until it is overtaken."""
    world, table = kernel.Kernel(), edges.Table()
    value = world.edge(KEY, NOW)
    value["failed"][0, 4] = 1
    table.commit(read(table, world))
    value["failed"][0, 4], value["failed"][0, 0] = 0, 1
    found = read(table, world)
    assert [(1, 0, 0, 0, 0)] == [change.counters.failed for change in found.changes]
    table.commit(found)
    value["failed"][0, 4] = 2
    assert [(0, 0, 0, 0, 1)] == [change.counters.failed for change in read(table, world).changes]


def test_32_bits_wrap_and_nothing_is_lost() -> None:
    """Segments are counted with 32 bits: a long life passes them."""
    world, table = kernel.Kernel(), edges.Table()
    value = world.edge(KEY, NOW)
    value["received_segments"] = 2**31 - 3
    table.commit(read(table, world))
    value["received_segments"] = 2**32 - 5
    table.commit(read(table, world))
    value["received_segments"] = 8
    assert [13] == [change.counters.received_segments for change in read(table, world).changes]


def test_idle_is_quiet_long_and_has_nothing_open() -> None:
    """Three edges: one is open, one was active lately, one may go; and not while it has news."""
    world, table = kernel.Kernel(), edges.Table()
    late = kernel.key(7, local="10.7.0.2", remote="10.7.0.5", port=8080)
    world.establish(KEY, NOW)
    world.end(world.establish(OTHER, NOW), NOW)
    world.end(world.establish(late, NOW), NOW + 100)
    assert [] == read(table, world, idle_before_boot_ns=NOW + 50).idle.tolist()
    table.commit(read(table, world))
    found = read(table, world, idle_before_boot_ns=NOW + 50)
    assert [OTHER.tobytes()] == [list(world.keys)[row] for row in found.idle]


def test_a_checkpoint_goes_on_where_it_was() -> None:
    """What was told before is not told again; what came meanwhile is."""
    world, table = kernel.Kernel(), edges.Table()
    one = world.establish(KEY, NOW)
    table.commit(read(table, world))
    one.sent = 1009
    world.end(one, NOW + 1)
    again = edges.Table()
    again.load(table.dump())
    found = read(again, world)
    assert [model.Counters(closed=1, sent_bytes=1009)] == [change.counters for change in found.changes]
    assert [ipaddress.ip_address("10.7.0.3")] == [change.edge.remote for change in found.changes]


@pytest.mark.parametrize("damage", [{"wide": b"1234"}, {"ids": b"123"}, {"narrow": b""}])
def test_a_damaged_checkpoint_is_refused_whole(damage: dict[str, bytes]) -> None:
    """And the table is as it was."""
    world, table = kernel.Kernel(), edges.Table()
    world.establish(KEY, NOW)
    table.commit(read(table, world))
    fresh = edges.Table()
    with pytest.raises(ValueError, match=r"reshape|size"):
        fresh.load(table.dump() | damage)
    assert 0 == len(fresh)


@pytest.mark.parametrize(
    ("address", "bits"),
    [
        ("10.7.0.9", 128),
        ("10.8.1.1", 96 + 16),
        ("10.8.9.1", 128),
        ("192.0.2.1", 96),
        ("2001:db8::1", 0),
        ("fd00::1", 128),
        ("::ffff:10.7.0.9", 0),
    ],
)
def test_the_longest_prefix_decides_what_is_kept(address: str, bits: int) -> None:
    """Kept within the cluster's networks, else collapsed to a configured one, else to everything of its family."""
    kept = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "10.8.9.0/24", "fc00::/7")]
    prefixes = edges.Prefixes(kept, [ipaddress.ip_network("10.8.0.0/16")])
    assert bits == prefixes.bits(ipaddress.ip_address(address))


def test_kept_everything_wins_over_the_rest() -> None:
    """Somebody who wants every address has it."""
    prefixes = edges.Prefixes(wire.EVERYTHING, [])
    assert [128, 128] == [prefixes.bits(ipaddress.ip_address(text)) for text in ("192.0.2.1", "2001:db8::1")]
