"""Metrics over HTTP: read in full or not at all, and one that fails holds nobody up. Leaves out what they mean."""

import asyncio
import collections
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio import client

from injector.cluster import model as cluster
from injector.discovery import naming
from injector.seeing import exposition, measured, scrape
from tests.fakes import policies
from tests.unit.injector.seeing import test_measured

TEXT = (test_measured.FOLDER / "after.prom").read_text()
WANTED_LINE = b'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="inbound|1|-"} 1\n'
POD = policies.pod(addresses=("127.0.0.1",))


@contextlib.asynccontextmanager
async def serving(answer: Callable[[], web.Response]) -> AsyncIterator[scrape.ByAddress]:
    async def handle(request: web.Request) -> web.Response:
        return answer()

    application = web.Application()
    application.router.add_get("/metrics", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield scrape.ByAddress(session, runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_a_proxy_is_asked_twice_and_the_second_answer_counts() -> None:
    """Envoy's histograms are as they were at the question before."""
    answers = iter(["", TEXT])
    async with serving(lambda: web.Response(text=next(answers))) as scraper:
        found = await scrape.everybody(
            scraper, [POD, policies.pod("bare", meshed=False)], measured.read, measured.WANTED
        )
    assert {POD.ref} == set(found.read)
    assert 12 == found.read[POD.ref].inbound[naming.Peer("8080", "shop/client")].requests


async def test_it_is_read_beside_the_event_loop() -> None:
    """A pod decides how long its text is, and others must not wait for it."""
    read_by: list[int] = []
    async with serving(lambda: web.Response(text=TEXT)) as scraper:
        await scrape.everybody(scraper, [POD], lambda _: read_by.append(threading.get_ident()), frozenset())
    assert 1 == len(read_by)
    assert threading.get_ident() not in read_by


PROXIED = "/api/v1/namespaces/shop/pods/db:15020/proxy/metrics"


@contextlib.asynccontextmanager
async def api_server(answer: Callable[[], web.Response]) -> AsyncIterator[scrape.ThroughApi]:
    async def handle(request: web.Request) -> web.Response:
        return answer()

    application = web.Application()
    application.router.add_get(PROXIED, handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with client.ApiClient(client.Configuration(host=host)) as api:
            yield scrape.ThroughApi(api)
    finally:
        await runner.cleanup()


async def test_a_proxy_is_asked_through_the_api_server() -> None:
    """By its name, which needs no way to its address."""
    async with api_server(lambda: web.Response(text=TEXT)) as scraper:
        text = await scraper.scrape(policies.pod(addresses=()), measured.WANTED)
    assert measured.read(TEXT) == measured.read(text)


@pytest.mark.parametrize(
    ("status", "why"), [(403, "the right to get pods/proxy"), (503, "the API server answered 503")]
)
async def test_an_api_server_that_refuses(status: int, why: str) -> None:
    """What it said, and which right is missing."""
    async with api_server(lambda: web.Response(status=status)) as scraper:
        with pytest.raises(scrape.Unread, match=why):
            await scraper.scrape(POD, measured.WANTED)


async def test_one_that_cannot_be_read_is_named() -> None:
    """With the reason, beside those that can."""
    nowhere, odd = policies.pod("a", addresses=()), policies.pod("b", addresses=("127.0.0.2",))
    async with serving(lambda: web.Response(text=TEXT)) as scraper:
        found = await scrape.everybody(scraper, [POD, nowhere, odd], measured.read, measured.WANTED)
    assert {POD.ref} == set(found.read)
    assert "it has no address yet" == found.unread[nowhere.ref]
    assert "127.0.0.2" in found.unread[odd.ref]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: web.Response(status=503), "its proxy answered 503"),
        (lambda: web.Response(body=b"x" * (8 * 1024 * 1024 + 1)), "its metrics are more than 8388608 bytes"),
        (lambda: web.Response(body=WANTED_LINE * 100_000), "its metrics of the mesh are more than 4194304 bytes"),
    ],
)
async def test_what_is_no_answer_is_not_read(answer: Callable[[], web.Response], why: str) -> None:
    """An error, or more than a proxy would say."""
    async with serving(answer) as scraper:
        with pytest.raises(scrape.Unread, match=why):
            await scraper.scrape(POD, measured.WANTED)


@pytest.mark.parametrize("size", [1, 7, 5000, 10**6])
def test_of_what_comes_only_wanted_lines_are_kept(size: int) -> None:
    """However it is cut. Nothing is held of a line that does not end, or that no name of Kubernetes is in."""
    long = b"wanted{" + b"a" * 9000
    told = b"other 1\nwanted 1\n" + long + b'\nwanted 2\nwanted_not 1\nwanted{a="\xff"} 1\n# wanted\nwanted{} 3'
    sieve = exposition.Sieve(frozenset({"wanted"}))
    for at in range(0, len(told), size):
        sieve.feed(told[at : at + size])
        assert len(sieve._rest) <= 4096
    assert "wanted 1\nwanted 2\nwanted{} 3\n" == sieve.text()


class Slow:
    """Counts who is read at once."""

    def __init__(self, at_once: int) -> None:
        self.turns = scrape.Turns(at_once)
        self.now: collections.Counter[str] = collections.Counter()
        self.most: collections.Counter[str] = collections.Counter()

    async def scrape(self, pod: cluster.Pod, wanted: frozenset[str]) -> str:
        for of in ("all", pod.ref.name[0]):
            self.now[of] += 1
            self.most[of] = max(self.most[of], self.now[of])
        await asyncio.sleep(0.001)
        self.now.subtract(["all", pod.ref.name[0]])
        return ""


async def test_all_who_ask_share_one_bound() -> None:
    """And none has more than half of it, lest pods that do not answer hold up everybody."""
    scraper = Slow(at_once=8)
    pods = {of: [policies.pod(f"{of}{number}") for number in range(12)] for of in "xyz"}
    found = await asyncio.gather(
        *(scrape.everybody(scraper, each, measured.read, measured.WANTED) for each in pods.values())
    )
    assert [12, 12, 12] == [len(each.read) for each in found]
    assert {"all": 8, "x": 4, "y": 4, "z": 4} == scraper.most
