"""What a real Envoy wrote, read back: ``tests/vectors/envoy`` has it before and after known calls.

Between the two: 7 requests of shop/client by mTLS and 2 that got 503, 5 in plaintext, 3 connections to the database by
mTLS, 11 to a Service without a proxy, 1 to an address that nobody knows. Recorded with Envoy 1.40 under the names of
``discovery.naming`` and the sidecar's ``stats_config``; series that nobody reads here were cut out. Leaves out reading
over the network.
"""

import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.discovery import naming
from injector.seeing import exposition, measured

FOLDER = pathlib.Path(__file__).parents[3] / "vectors/envoy"
BEFORE, AFTER = (measured.read((FOLDER / f"{name}.prom").read_text()) for name in ("before", "after"))
GROWN = measured.since(AFTER, BEFORE)
CLIENT, NOBODY = naming.Peer("8080", "shop/client"), naming.Peer("8080", naming.NOBODY)
DATABASE = naming.Peer("5432", "shop/client")


def test_requests_are_those_that_were_sent() -> None:
    """By who sent them; 503 has failed."""
    assert (9, 2) == (GROWN.inbound[CLIENT].requests, GROWN.inbound[CLIENT].failed)
    assert (5, 0) == (GROWN.inbound[NOBODY].requests, GROWN.inbound[NOBODY].failed)
    assert 9 == GROWN.inbound[CLIENT].within[float("inf")]


def test_connections_and_bytes_are_those_that_were_carried() -> None:
    """3 times ``hello``, and what the server said."""
    assert (3, 15, 99) == (
        GROWN.inbound[DATABASE].connections,
        GROWN.inbound[DATABASE].received_bytes,
        GROWN.inbound[DATABASE].sent_bytes,
    )


def test_what_went_out_is_secured_or_plain() -> None:
    """By the handshakes of the cluster; the pod's own application is no destination."""
    assert {
        "outbound|80|shop/web": (0, 0),
        "outbound|5432|shop/db": (3, 0),
        "outbound|80|shop/legacy": (0, 11),
        "passthrough": (0, 1),
    } == {name: (called.secured, called.plain) for name, called in GROWN.outbound.items()}
    assert (1, 0) == (AFTER.outbound["outbound|80|shop/web"].secured, AFTER.outbound["outbound|80|shop/web"].plain)


def test_a_proxy_that_started_anew_counts_from_zero() -> None:
    """What it says now is all new; nothing is negative."""
    anew = measured.since(BEFORE, AFTER)
    assert BEFORE.inbound[CLIENT].requests == anew.inbound[CLIENT].requests
    assert BEFORE.inbound[CLIENT].within == anew.inbound[CLIENT].within
    assert all(called.plain >= 0 for called in anew.outbound.values())


def test_a_reading_of_nothing_is_empty() -> None:
    """Unused series are left out by Envoy."""
    assert measured.Measured(inbound={}, outbound={}) == measured.read("")


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ('wanted{a="b",c="d"} 7', {"a": "b", "c": "d"}, 7.0),
        ("wanted 7", {}, 7.0),
        ("wanted{} 1.5e3 1700000000", {}, 1500.0),
        (r'wanted{a="q\"b\\c\nd,e=}"} 1', {"a": 'q"b\\c\nd,e=}'}, 1.0),
    ],
)
def test_a_line_is_read_with_its_labels(line: str, labels: dict[str, str], value: float) -> None:
    """Escapes too."""
    assert [exposition.Sample("wanted", labels, value)] == list(
        exposition.samples(f"# TYPE wanted counter\n{line}\nother 1\n", frozenset({"wanted"}))
    )


@pytest.mark.parametrize(
    "line",
    [
        "wanted{" + "a" * 1_000_000,
        "\n".join(["wanted{" + "a" * 4000 + "} 1"] * 250),
        "\n".join(["wanted{" + "a=" * 2000 + "} 1"] * 250),
        "\n".join(['wanted{a="' + "\\\\" * 2000 + "} 1"] * 250),
        "\n".join(["wanted{" + '"} ' * 1300 + "1"] * 250),
        "\n".join(["wanted" + " " * 4000 + "x x"] * 250),
    ],
    ids=["long", "no label", "no value", "no end", "quotes", "spaces"],
)
def test_a_hostile_line_costs_no_more_than_its_length(line: str) -> None:
    """1 MB each. Where matching went back, 40 kB of the first took 4 s."""
    began_s = time.process_time()
    assert [exposition.Sample("wanted", {}, 7.0)] == list(
        exposition.samples(f"{line}\nwanted 7", frozenset({"wanted"}))
    )
    assert time.process_time() - began_s < 0.5


@given(st.text(), st.text())
def test_whatever_a_pod_serves_is_read_without_an_error(labels: str, rest: str) -> None:
    """Anybody may listen on that port of a pod that is not injected after all."""
    name = "envoy_http_downstream_rq_xx"
    found = measured.read(f'{name}{{{labels}}} {rest}\n{name}{{envoy_http_conn_manager_prefix="inbound|1|-"}} {rest}')
    assert all(served.requests >= 0 for served in found.inbound.values())
