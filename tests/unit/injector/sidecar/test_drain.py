"""When a proxy may end, and what it learns that from. Leaves out a real Envoy: functional tests."""

import hypothesis
import pytest
from hypothesis import strategies as st

from injector.sidecar import admin, drain

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2102        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 4 1
   torn
"""


def test_http_connections_count_by_their_requests() -> None:
    """Seven connections, of which five are HTTP with three requests in flight: five to wait for."""
    gauges = {
        "listener.0.0.0.0_15006.downstream_cx_active": 7,
        "http.inbound.downstream_cx_active": 5,
        "http.inbound.downstream_rq_active": 3,
        "listener.admin.downstream_cx_active": 1,
        "listener.status.downstream_cx_active": 2,
        "http.admin.downstream_rq_active": 1,
    }
    assert 5 == drain.busy(gauges)


def test_gauges_of_two_moments_never_give_less_than_nothing() -> None:
    """They are read one after another."""
    assert 0 == drain.busy({"http.inbound.downstream_cx_active": 2})


def test_who_listens_besides_the_proxy() -> None:
    """IPv4 and IPv6; connections and torn lines do not count."""
    assert 2 == drain.listeners(TABLE, 2102)
    assert 0 == drain.listeners("", 2102)


@pytest.mark.parametrize(
    ("busy", "listeners", "waited_s", "expected"),
    [(0, 0, 0, True), (1, 0, 0, False), (0, 1, 24.9, False), (1, 1, 25, True)],
)
def test_it_ends_when_nothing_is_left_or_the_time_is_over(
    *, busy: int, listeners: int, waited_s: float, expected: bool
) -> None:
    """Not sooner, not later."""
    assert expected is drain.may_end(drain.Seen(busy, listeners), waited_s=waited_s, grace_s=25)


def test_gauges_are_read_from_chunks() -> None:
    """Envoy answers in chunks, and a line may be in two of them."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = admin.body(head + b"3\r\na: \r\n9;x=y\r\n7\nb: no\nc\r\n4\r\n: 1\n\r\n0\r\n\r\n")
    assert body is not None
    assert {"a": 7, "c": 1} == admin.parse(body)


def test_another_code_than_200_is_no_answer() -> None:
    """Nor is half an answer, nor none."""
    assert admin.body(b"HTTP/1.1 503 Service Unavailable\r\n\r\na: 7") is None
    assert admin.body(b"HTTP/1.1") is None
    assert admin.body(b"") is None


def test_an_envoy_that_is_not_there_is_an_answer() -> None:
    """Draining goes on without it."""
    assert admin.connections("/nowhere/admin.sock") is None
    assert not admin.fail_health_check("/nowhere/admin.sock")


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_value_error(data: bytes) -> None:
    """Whatever is at the other end of that socket."""
    for head in (b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        try:
            admin.parse(admin.body(head + data) or b"")
        except ValueError:
            continue
