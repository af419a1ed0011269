"""Judgements, and where their numbers come from: sidecars and Prometheus. What is not known has not passed.

Leaves out reading over the network, but for Prometheus' answers.
"""

import dataclasses
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from injector.cluster import model as cluster
from injector.discovery import naming
from injector.rollout import judge, model, place, prometheus, proxies
from injector.seeing import measured, scrape
from tests.fakes import policies
from tests.fakes.rollouts import WANTED

GOOD = model.Observed(requests=100, success=99.5, p99_ms=120.0)


def judged(**changes: Any) -> model.Check:
    values = {"requests": GOOD.requests, "success": GOOD.success, "p99_ms": GOOD.p99_ms}
    return judge.judge(WANTED, model.Observed(**{**values, **changes}))


def test_a_good_one_passes_and_says_by_what() -> None:
    assert (
        model.Check(passed=True, message="request-success-rate 99.50 %, request-duration 120.00 ms (100 requests)")
        == judged()
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem": "the sidecar cannot be read"}, "the sidecar cannot be read"),
        ({"requests": 39}, "39 requests, and 40 are needed to tell"),
        ({"requests": math.nan}, "needed to tell"),
        ({"success": None}, "request-success-rate is not known"),
        ({"success": math.nan}, "request-success-rate is not known"),
        ({"success": 98.99}, "request-success-rate 98.99 % is below 99"),
        ({"p99_ms": None}, "request-duration is not known"),
        ({"p99_ms": math.inf}, "request-duration is not known"),
        ({"p99_ms": 500.01}, "request-duration 500.01 ms is above 500"),
    ],
)
def test_everything_else_does_not(changes: Any, said: str) -> None:
    check = judged(**changes)
    assert not check.passed
    assert said in check.message


def test_the_bounds_themselves_are_good() -> None:
    assert judged(success=99.0, p99_ms=500.0, requests=40).passed


POD, OTHER = (policies.pod(name, labels={"pod-template-hash": "a"}, ready=True) for name in ("one", "two"))
WHERE = place.Place(namespace="shop", service="web-v2", pods=(POD, OTHER))
CLIENT, NOBODY = naming.Peer("8080", "shop/client"), naming.Peer("8080", naming.NOBODY)


def counted(requests: int, failed: int = 0, abandoned: int = 0, peer: naming.Peer = CLIENT) -> measured.Measured:
    within = {100.0: requests, math.inf: requests}
    served = measured.Served(requests=requests, failed=failed, abandoned=abandoned, within=within)
    return measured.Measured(inbound={peer: served}, outbound={})


def between(before: dict[Any, Any], after: dict[Any, Any], unread: dict[Any, str] | None = None) -> model.Observed:
    readings = scrape.Readings(read=after, unread=unread or {})
    return proxies.between(WHERE, proxies.Reading(read=before, unread={}), readings)


def test_what_all_pods_counted_meanwhile_is_added() -> None:
    """Who gave up waiting counts as a failure; quantiles are of what was answered."""
    found = between(
        {POD.ref: counted(1000, 7), OTHER.ref: counted(5)}, {POD.ref: counted(1040, 8, 4), OTHER.ref: counted(61)}
    )
    assert (100.0, 95.0) == (found.requests, found.success)
    assert found.p99_ms == pytest.approx(99.0)


def test_probes_hide_nothing() -> None:
    found = between({POD.ref: counted(0, peer=NOBODY)}, {POD.ref: counted(500, peer=NOBODY)})
    assert 0 == found.requests


def test_a_proxy_that_cannot_be_read_is_a_measurement_that_is_not_there() -> None:
    found = between({POD.ref: counted(0)}, {POD.ref: counted(99)}, {OTHER.ref: "no answer within 5 s"})
    assert "the sidecar of pod two cannot be read: no answer" in found.problem
    begun = proxies.Reading(read={POD.ref: counted(0)}, unread={OTHER.ref: "refused"})
    after = {POD.ref: counted(50), OTHER.ref: counted(9000)}
    found = proxies.between(WHERE, begun, scrape.Readings(read=after, unread={}))
    assert "the sidecar of pod two cannot be read: refused" in found.problem


class Scraper:
    """Gives what each pod's proxy says."""

    def __init__(self) -> None:
        self.turns = scrape.Turns(2)
        self.failed = 0

    async def scrape(self, pod: cluster.Pod, wanted: frozenset[str]) -> str:
        counts = {2: 50, 5: self.failed if pod.ref == OTHER.ref else 0}
        of = 'envoy_http_conn_manager_prefix="inbound|8080|shop/client"'
        name = "envoy_http_downstream_rq_xx"
        return "\n".join(
            f'{name}{{{of},envoy_response_code_class="{code}"}} {n}' for code, n in counts.items() if name in wanted
        )


async def test_a_pod_that_is_no_longer_ready_is_heard_too() -> None:
    """It is not, perhaps, because of what it did."""
    scraper = Scraper()
    source = proxies.Proxies(scraper)
    begun = await source.begin(WHERE)
    scraper.failed = 40
    fallen = place.Place(namespace="shop", service="web-v2", pods=(POD, dataclasses.replace(OTHER, ready=False)))
    assert (40.0, 0.0) == ((found := await source.end(fallen, begun, WANTED)).requests, found.success)


def test_a_pod_that_came_meanwhile_does_not_bring_its_past() -> None:
    found = between({POD.ref: counted(0)}, {POD.ref: counted(50), OTHER.ref: counted(9000, 9000)})
    assert (50, 100.0) == (found.requests, found.success)
    assert "twice" in between({}, {POD.ref: counted(50)}).problem


def test_a_proxy_that_started_anew_counts_from_zero() -> None:
    assert 7 == between({POD.ref: counted(100)}, {POD.ref: counted(7)}).requests


def test_a_pod_without_a_proxy_cannot_be_judged() -> None:
    where = place.Place(namespace="shop", service="web-v2", pods=(policies.pod("bare", meshed=False, ready=True),))
    found = proxies.between(where, proxies.Reading(read={}, unread={}), scrape.Readings(read={}, unread={}))
    assert "pod bare has no sidecar" in found.problem


def test_where_a_canary_stands() -> None:
    other = policies.pod("old", labels={"pod-template-hash": "b"})
    mixed = place.Place(namespace="shop", service="web-v2", pods=(POD, other))
    assert frozenset({"a", "b"}) == mixed.revisions
    assert "are of 2 versions" in mixed.unready
    assert "no ready pod" in place.Place(namespace="shop", service="web-v2").unready
    assert "" == WHERE.unready


def test_labels_without_end_are_no_new_version_each_time() -> None:
    """Whoever may label pods could have the controller write for ever."""
    pods = tuple(policies.pod(f"p{number}", labels={"pod-template-hash": str(number)}) for number in range(99))
    assert model.MOST_REVISIONS == len(place.Place(namespace="shop", service="web-v2", pods=pods).revisions)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"spec": {"selector": {"app": "web", "a": "b"}}}, ("a=b,app=web", "")),
        ({"spec": {"selector": {}}}, ("", "Service x selects no pods")),
        ({"spec": {}}, ("", "Service x selects no pods")),
        (None, ("", "there is no Service x in this namespace")),
    ],
)
def test_a_service_selects_pods(service: Any, expected: tuple[str, str]) -> None:
    assert expected == place.selector(service, "x")


def answer(*values: str) -> dict[str, Any]:
    return {"status": "success", "data": {"result": [{"value": [1.0, each]} for each in values]}}


def test_a_number_of_prometheus_is_read() -> None:
    assert 12.5 == prometheus.number(json.dumps(answer("12.5")).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"status": "error"}']
    + [json.dumps(each).encode() for each in (answer(), answer("NaN"), answer("+Inf"), answer("x"), answer("1", "2"))],
)
def test_what_is_no_number_is_not_known(body: bytes) -> None:
    """Neither is what is stale: Prometheus then answers with an empty list."""
    with pytest.raises(prometheus.Unknown):
        prometheus.number(body)


class FakePrometheus:
    """Answers each query with the value whose key is in it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.asked: list[str] = []
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        query = request.query["query"]
        self.asked.append(query)
        found = [value for key, value in self.values.items() if query.startswith(key)]
        return web.json_response(answer(*found), status=self.status)


@pytest_asyncio.fixture
async def asked() -> AsyncIterator[FakePrometheus]:
    fake = FakePrometheus()
    application = web.Application()
    application.router.add_get("/prom/api/v1/query", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/prom/"
    yield fake
    await runner.cleanup()


async def test_prometheus_is_asked_about_one_service(asked: FakePrometheus) -> None:
    asked.values = {"sum(increase(": "120", "100 * ": "100.4", "histogram_quantile": "87"}
    async with aiohttp.ClientSession() as session:
        source = prometheus.Prometheus(session, asked.url)
        found = await source.end(WHERE, None, WANTED)
    assert model.Observed(requests=120, success=100.0, p99_ms=87.0) == found
    assert all(r'"outbound\\|[0-9]+\\|shop/web-v2"' in each and "[30000ms]" in each for each in asked.asked)


async def test_a_prometheus_that_does_not_tell_is_a_measurement_that_is_not_there(asked: FakePrometheus) -> None:
    async with aiohttp.ClientSession() as session:
        source = prometheus.Prometheus(session, asked.url)
        assert "scraped" in (await source.end(WHERE, None, WANTED)).problem
        asked.status = 503
        assert "503" in (await source.end(WHERE, None, WANTED)).problem
        nobody = prometheus.Prometheus(session, "http://127.0.0.1:1")
        assert (await nobody.end(WHERE, None, WANTED)).problem


async def test_only_metrics_that_are_wanted_are_asked_for(asked: FakePrometheus) -> None:
    asked.values = {"sum(increase(": "120", "100 * ": "100"}
    wanted = dataclasses.replace(WANTED, ranges=WANTED.ranges[:1])
    async with aiohttp.ClientSession() as session:
        found = await prometheus.Prometheus(session, asked.url).end(WHERE, None, wanted)
    assert (2, None) == (len(asked.asked), found.p99_ms)
    assert judge.judge(wanted, found).passed
