"""Connection records: read, counted where they cannot be, and made flows. Left out: the ring (tests/functional)."""

import ipaddress

import numpy as np
import pytest

from agent import model, records, wire
from tests.fakes import flows

T = 10**15


def record(**changes: object) -> wire.Array:
    """Make one record: 10.7.0.2:40001 called 10.7.0.3:8080."""
    made = np.zeros(1, wire.CONNECTION_RECORD)
    made["local"] = np.frombuffer(wire.packed(ipaddress.ip_address("10.7.0.2")), np.uint8)
    made["remote"] = np.frombuffer(wire.packed(ipaddress.ip_address("10.7.0.3")), np.uint8)
    columns: dict[str, object] = {
        "cookie": 5, "cgroup": 7, "netns": 4026, "opened_boot_ns": T, "ended_boot_ns": T + 1_509_000,
        "sent_bytes": 1009, "received_bytes": 2003, "rtt_us": 101, "connect_us": 211, "retransmits": 2,
        "sent_segments": 11, "received_segments": 13, "local_port": 40001, "remote_port": 8080,
        "direction": 0, "protocol": 6, "end": wire.END_CLOSED, "established": 1,
    }  # fmt: skip
    for name, value in (columns | changes).items():
        made[name] = value
    return made


def one(**changes: object) -> records.Connection:
    [found], impossible = records.read(record(**changes))
    assert 0 == impossible
    return found


def test_a_record_is_read_whole() -> None:
    """Every column of one connection that ended in order."""
    found = one()
    buckets = {"rtt_us_buckets": (0, 1, *[0] * 14), "connect_us_buckets": (0, 0, 1, *[0] * 13)}
    expected = model.Counters(
        opened=1, closed=1, sent_bytes=1009, received_bytes=2003, sent_segments=11, received_segments=13,
        retransmits=2, rtt_us_sum=101, connect_us_sum=211, **buckets,
    )  # fmt: skip
    assert expected == found.counters
    assert (40001, 8080, "closed") == (found.local_port, found.remote_port, found.end_reason)
    assert (7, 4026, 8080) == (found.edge.cgroup, found.edge.netns, found.edge.port)
    assert ("10.7.0.2", "10.7.0.3") == (str(found.edge.local), str(found.edge.remote))


@pytest.mark.parametrize("cause", model.FailCause)
def test_an_attempt_that_failed_opened_nothing(cause: model.FailCause) -> None:
    """It has a cause, and no round trip."""
    found = one(end=int(cause), established=0, connect_us=0, rtt_us=0)
    counters = found.counters
    assert cause.name.lower() == found.end_reason
    assert (0, 0, (), ()) == (counters.opened, counters.closed, counters.rtt_us_buckets, counters.connect_us_buckets)
    assert [int(each is cause) for each in model.FailCause] == list(counters.failed)


def test_a_connection_that_broke_was_opened_and_closed() -> None:
    """And failed besides."""
    counters = one(end=int(model.FailCause.RESET)).counters
    assert (1, 1, (0, 0, 1, 0, 0)) == (counters.opened, counters.closed, counters.failed)


def test_the_service_port_is_the_passive_end_s() -> None:
    """Local for a connection that was accepted."""
    assert (8080, 40001) == (one().edge.port, one(direction=1).edge.port)


@pytest.mark.parametrize(("value_us", "bucket"), [(0, 0), (63, 0), (64, 1), (127, 1), (128, 2), (2**31, 15)])
def test_a_sample_falls_where_the_kernel_would_put_it(value_us: int, bucket: int) -> None:
    """Bounds are exclusive; the last bucket takes the rest."""
    assert [bucket] == np.flatnonzero(one(rtt_us=value_us).counters.rtt_us_buckets).tolist()


@pytest.mark.parametrize("wrong", [{"direction": 2}, {"protocol": 132}, {"end": 5}])
def test_what_cannot_be_is_counted_and_the_rest_is_read(wrong: dict[str, int]) -> None:
    """A value out of its list drops that record alone."""
    found, impossible = records.read(np.concatenate([record(), record(**wrong), record(cookie=6)]))
    assert (2, 1) == (len(found), impossible)


def test_a_flow_has_ports_times_and_names() -> None:
    """Times go through the given clock; names come from the given function."""
    [flow] = records.flows([one()], lambda each: (flows.CLIENT, flows.WEB), lambda boot_ns: boot_ns + 7)
    assert (T + 7, T + 1_509_007, 1509) == (flow.start_wall_ns, flow.end_wall_ns, flow.duration_us)
    assert (flows.CLIENT, flows.WEB) == (flow.local, flow.remote)
    assert (40001, 8080, 8080, "closed") == (flow.local_port, flow.remote_port, flow.port, flow.end_reason)
    assert not flow.partial
