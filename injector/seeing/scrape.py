"""Reads ``/metrics`` of many proxies at once, each with a time limit and a bound; one that fails is named.

Here because this is the only part of the feature that talks to pods: at their own addresses from inside the cluster,
through the API server from anywhere else. Leaves out what is read (``measured``, ``routed``).
"""

import asyncio
import contextlib
import dataclasses
import http
import typing
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final

import aiohttp

from injector import names
from injector.cluster import model as cluster
from injector.seeing import exposition
from ipseity import identity, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Read = typing.TypeVar("Read")
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 8 * 1024 * 1024
"""A proxy of 1,000 Services writes about 4 MB."""
_MAX_KEPT: Final = 4 * 1024 * 1024
"""Of it, in wanted series: 3 kB for each account that calls."""
_AT_ONCE: Final = 32


class Unread(Exception):  # noqa: N818  # it reads as what happened
    """A proxy's metrics cannot be read."""


class Scraper(typing.Protocol):
    """Gives proxies' metrics."""

    turns: "Turns"

    async def scrape(self, pod: cluster.Pod, wanted: frozenset[str]) -> str:
        """Read the lines of the series that are wanted, and hold no others. Raises Unread."""


class Turns:
    """Bounds how many proxies are read at once with one scraper: a process that has one has one bound."""

    def __init__(self, at_once: int) -> None:
        self._of_one = max(1, at_once // 2)
        self._of_all = asyncio.Semaphore(at_once)

    def mine(self) -> Callable[[], contextlib.AbstractAsyncContextManager[None]]:
        """Give what waits for a turn. Nobody has more than half of them: pods that do not answer hold up no others."""
        of_one = asyncio.Semaphore(self._of_one)

        @contextlib.asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            async with of_one, self._of_all:
                yield

        return turn


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readings(typing.Generic[Read]):
    """What came of asking everybody."""

    read: Mapping[identity.PodRef, Read]
    unread: Mapping[identity.PodRef, str]
    """And why not."""


class ByAddress:
    """Asks each pod at its own address, port ``names.STATUS_PORT``."""

    def __init__(
        self, session: aiohttp.ClientSession, port: int = names.STATUS_PORT, *, at_once: int = _AT_ONCE
    ) -> None:
        self.turns = Turns(at_once)
        self._session = session
        self._port = port

    async def scrape(self, pod: cluster.Pod, wanted: frozenset[str]) -> str:
        """Read them, in full or not at all. Raises Unread."""
        if not pod.addresses:
            raise Unread("it has no address yet")
        host = f"[{pod.addresses[0]}]" if ":" in pod.addresses[0] else pod.addresses[0]
        limits = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with self._session.get(f"http://{host}:{self._port}/metrics", timeout=limits) as response:
                if response.status != 200:
                    raise Unread(f"its proxy answered {response.status}")
                return await _kept(response.content, wanted)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unread(str(error) or f"no answer within {_TIMEOUT_S:.0f} s") from error


class ThroughApi:
    """Asks each pod through the API server (``pods/proxy``): works wherever kubectl does, and costs the API server."""

    def __init__(self, api: "client.ApiClient", port: int = names.STATUS_PORT, *, at_once: int = _AT_ONCE) -> None:
        self.turns = Turns(at_once)
        self._api = api
        self._port = port

    async def scrape(self, pod: cluster.Pod, wanted: frozenset[str]) -> str:
        """Read them, in full or not at all. Raises Unread."""
        path = f"/api/v1/namespaces/{pod.ref.namespace}/pods/{pod.ref.name}:{self._port}/proxy/metrics"
        try:
            response = await kube.open_stream(self._api, path, {}, aiohttp.ClientTimeout(total=_TIMEOUT_S))
            try:
                return await _kept(response.content, wanted)
            finally:
                response.close()
        except kube.KubernetesError as error:
            right = (
                "; the account needs the right to get pods/proxy" if error.status == http.HTTPStatus.FORBIDDEN else ""
            )
            raise Unread(f"{error}{right}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unread(str(error) or f"no answer within {_TIMEOUT_S:.0f} s") from error


async def _kept(content: aiohttp.StreamReader, wanted: frozenset[str]) -> str:
    sieve, read = exposition.Sieve(wanted), 0
    async for piece in content.iter_any():
        read += len(piece)
        if read > _MAX_BYTES:
            raise Unread(f"its metrics are more than {_MAX_BYTES} bytes")
        sieve.feed(piece)
        if len(sieve) > _MAX_KEPT:
            raise Unread(f"its metrics of the mesh are more than {_MAX_KEPT} bytes")
    return sieve.text()


async def everybody(
    scraper: Scraper, pods: Iterable[cluster.Pod], reader: Callable[[str], Read], wanted: frozenset[str]
) -> Readings[Read]:
    """Ask every meshed pod, twice: Envoy shows its histograms as they were when it was asked before.

    ``reader`` makes of a proxy's text what is wanted of it, such as ``measured.read``; it runs in a thread.
    ``wanted`` are the series that it looks at.
    """
    turn = scraper.turns.mine()
    read: dict[identity.PodRef, Read] = {}
    unread: dict[identity.PodRef, str] = {}

    async def ask(pod: cluster.Pod) -> None:
        async with turn():
            try:
                await scraper.scrape(pod, frozenset())
                text = await scraper.scrape(pod, wanted)
                read[pod.ref] = await asyncio.to_thread(
                    reader, text
                )  # it is long, and whoever serves it decides how long
            except Unread as error:
                unread[pod.ref] = str(error)

    async with asyncio.TaskGroup() as group:
        for pod in pods:
            if pod.meshed:
                group.create_task(ask(pod))
    return Readings(read=read, unread=unread)
