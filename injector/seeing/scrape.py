"""Reads ``/metrics`` of many proxies at once, each with a time limit and a bound; one that fails is named.

Here because this is the only part of the feature that talks to pods: at their own addresses from inside the cluster,
through the API server from anywhere else. Leaves out what is read (``measured``, ``routed``).
"""

import asyncio
import dataclasses
import http
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import aiohttp

from injector import names
from injector.cluster import model as cluster
from ipseity import identity, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Read = typing.TypeVar("Read")
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 16 * 1024 * 1024
"""A proxy of 1,000 Services writes about 4 MB."""
_AT_ONCE: Final = 32


class Unread(Exception):  # noqa: N818  # it reads as what happened
    """A proxy's metrics cannot be read."""


class Scraper(typing.Protocol):
    """Gives a proxy's metrics."""

    async def scrape(self, pod: cluster.Pod) -> str:
        """Read them. Raises Unread."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readings(typing.Generic[Read]):
    """What came of asking everybody."""

    read: Mapping[identity.PodRef, Read]
    unread: Mapping[identity.PodRef, str]
    """And why not."""


class ByAddress:
    """Asks each pod at its own address, port ``names.STATUS_PORT``."""

    def __init__(self, session: aiohttp.ClientSession, port: int = names.STATUS_PORT) -> None:
        self._session = session
        self._port = port

    async def scrape(self, pod: cluster.Pod) -> str:
        """Read them, in full or not at all. Raises Unread."""
        if not pod.addresses:
            raise Unread("it has no address yet")
        host = f"[{pod.addresses[0]}]" if ":" in pod.addresses[0] else pod.addresses[0]
        limits = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with self._session.get(f"http://{host}:{self._port}/metrics", timeout=limits) as response:
                if response.status != 200:
                    raise Unread(f"its proxy answered {response.status}")
                return (await _bounded(response.content)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unread(str(error) or f"no answer within {_TIMEOUT_S:.0f} s") from error


class ThroughApi:
    """Asks each pod through the API server (``pods/proxy``): works wherever kubectl does, and costs the API server."""

    def __init__(self, api: "client.ApiClient", port: int = names.STATUS_PORT) -> None:
        self._api = api
        self._port = port

    async def scrape(self, pod: cluster.Pod) -> str:
        """Read them, in full or not at all. Raises Unread."""
        path = f"/api/v1/namespaces/{pod.ref.namespace}/pods/{pod.ref.name}:{self._port}/proxy/metrics"
        try:
            response = await kube.open_stream(self._api, path, {}, aiohttp.ClientTimeout(total=_TIMEOUT_S))
            try:
                return (await _bounded(response.content)).decode(errors="replace")
            finally:
                response.close()
        except kube.KubernetesError as error:
            right = (
                "; the account needs the right to get pods/proxy" if error.status == http.HTTPStatus.FORBIDDEN else ""
            )
            raise Unread(f"{error}{right}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unread(str(error) or f"no answer within {_TIMEOUT_S:.0f} s") from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    found = bytearray()
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > _MAX_BYTES:
            raise Unread(f"its metrics are more than {_MAX_BYTES} bytes")
    return bytes(found)


async def everybody(scraper: Scraper, pods: Iterable[cluster.Pod], reader: Callable[[str], Read]) -> Readings[Read]:
    """Ask every meshed pod, twice: Envoy shows its histograms as they were when it was asked before.

    ``reader`` makes of a proxy's text what is wanted of it, such as ``measured.read``; it runs in a thread.
    """
    turn = asyncio.Semaphore(_AT_ONCE)
    read: dict[identity.PodRef, Read] = {}
    unread: dict[identity.PodRef, str] = {}

    async def ask(pod: cluster.Pod) -> None:
        async with turn:
            try:
                await scraper.scrape(pod)
                text = await scraper.scrape(pod)
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
