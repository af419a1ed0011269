"""Golden metrics out of counters. Leaves out how the counters were read: ``test_measured``."""

import math
from typing import Any

import pytest

from injector.discovery import naming
from injector.seeing import measured, stat
from tests.fakes import policies
from tests.unit.injector.seeing import test_measured

WEB = [policies.pod(f"web-{n}", workload="deployment/web") for n in (1, 2)]
BARE = policies.pod("old", meshed=False, workload="old")
STATE = policies.state(*WEB, BARE)


def served(requests: int, failed: int = 0, **within: int) -> measured.Measured:
    counts = {10.0: requests, math.inf: requests}
    one = measured.Served(requests=requests, failed=failed, within=counts, connections=1, received_bytes=500)
    return measured.Measured(inbound={naming.Peer("80", "shop/a"): one}, outbound={})


def test_pods_of_a_workload_are_added_up() -> None:
    """Rates by the second; a share of requests that did not fail."""
    grown = {WEB[0].ref: served(70), WEB[1].ref: served(30, failed=1)}
    old, web = stat.rows(STATE, grown, 10.0, namespace="shop")
    assert ("shop/web", 2, 2, 2, 100, 1) == (web.workload, web.pods, web.meshed, web.answered, web.requests, web.failed)
    assert (10.0, 0.99, 5.0, 0.2, 100.0) == (web.rps, web.success, web.p50_ms, web.connections_per_s, web.received_bps)
    assert ("shop/old", 0, None, None) == (old.workload, old.meshed, old.success, old.p50_ms)


def test_another_namespace_is_left_out() -> None:
    """All of them without a name."""
    assert [] == stat.rows(STATE, {}, 10.0, namespace="other")
    assert 2 == len(stat.rows(STATE, {}, 10.0, namespace=""))


@pytest.mark.parametrize(
    ("within", "q", "found"),
    [
        ({}, 0.5, None),
        ({1.0: 0, math.inf: 0}, 0.5, None),
        ({1.0: 4, math.inf: 4}, 0.5, 0.5),
        ({1.0: 50, 2.0: 100, math.inf: 100}, 0.75, 1.5),
        ({1.0: 50, 2.0: 100, math.inf: 100}, 0.5, 1.0),
        ({1.0: 0, 2.0: 0, 5.0: 10, math.inf: 10}, 0.1, 2.3),
        ({1.0: 1, math.inf: 100}, 0.99, 1.0),
        ({1.0: 99, 2.0: 99, 5.0: 100, math.inf: 100}, 0.99, 1.0),
    ],
)
def test_a_quantile_is_as_promql_has_it(within: Any, q: float, found: float | None) -> None:
    """Straight between the bounds of its bucket; beyond the last bound it is that bound."""
    assert found == (None if found is None else pytest.approx(stat.quantile(within, q)))
    assert (found is None) is (stat.quantile(within, q) is None)


def test_the_table_says_what_is_missing() -> None:
    """A proxy that could not be read is not one without traffic."""
    rows = stat.rows(STATE, {WEB[0].ref: served(7000, failed=7)}, 10.0, namespace="shop")
    assert [
        "WORKLOAD  MESHED  SUCCESS    RPS     P50     P95     P99  CONNS/S  IN/S  OUT/S",
        "shop/old     0/1        -      -       -       -       -        -     -      -",
        "shop/web     2/2   99.90%  700.0  5.0 ms  9.5 ms  9.9 ms      0.1  50 B    0 B",
    ] == stat.lines(rows, width=None, colour=False)
    unread = stat.rows(STATE, {}, 10.0, namespace="shop")
    assert "not read" in stat.lines(unread, width=None, colour=False)[2]


def test_no_rounding_makes_a_failure_a_success() -> None:
    """One failure of a million is not 100 %."""
    rows = stat.rows(STATE, {WEB[0].ref: served(1_000_000, failed=1)}, 10.0, namespace="shop")
    assert "99.99%" in stat.lines(rows, width=None, colour=False)[2]


def test_programs_get_every_number() -> None:
    """Also of workloads without requests."""
    found = stat.document(stat.rows(STATE, {WEB[0].ref: test_measured.GROWN}, 10.0, namespace=""), 10.0)
    old, web = found["workloads"]
    assert (10.0, 14, 2, None) == (found["windowSeconds"], web["requests"], web["failed"], old["successRate"])
    assert web["successRate"] == pytest.approx(12 / 14)
