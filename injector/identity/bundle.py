"""The trust bundle in every namespace: ConfigMap ``ipseity-trust-bundle``, written when due, put right when edited.

The leader writes; every control plane watches, and knows.

Here because a pod can mount a ConfigMap of its own namespace only. Two informers say what is: the namespaces, and the
ConfigMaps of that name; whatever differs from what must be is written again. Knows since when an anchor is everywhere,
which is what ``authority`` and ``rotation`` wait for. Leaves out what is in the bundle (``authority``).
"""

import asyncio
import contextlib
import http
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import structlog

from injector import names
from injector.identity import anchors, authority
from injector.kube import configmaps
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_NAMESPACES: Final = kube.Resource(path="/api/v1/namespaces")
_OURS: Final = kube.Resource(path="/api/v1/configmaps", field_selector=f"metadata.name={names.TRUST_BUNDLE}")
_RETRY_S: Final = 2.0
_AT_ONCE: Final = 8
"""Writes under way at a time: a bundle that changes is due in every namespace, and the API server has other work."""
_NOWHERE: Final = frozenset({http.HTTPStatus.NOT_FOUND, http.HTTPStatus.FORBIDDEN})
"""What writing into a namespace that is being deleted is answered with."""
_log = structlog.get_logger("identity")


class Publisher:
    """Writes the authority's bundle. Reads it afresh each time; ``wake`` says that it may be another one."""

    def __init__(
        self,
        api: "client.ApiClient",
        held: authority.Authority,
        *,
        leads: Callable[[], bool],
        clock: Callable[[], float],
        boot_ns: Callable[[], int],
    ) -> None:
        """``leads``: whether it is us who write. ``clock`` gives seconds since the epoch."""
        self._api = api
        self._held = held
        self._leads = leads
        self._clock = clock
        self._namespaces = informer.Informer(api, _NAMESPACES, trim=_namespace, clock=boot_ns)
        self._ours = informer.Informer(api, _OURS, trim=_bundle, clock=boot_ns)
        self._active: set[str] = set()
        self._there: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._due = asyncio.Event()
        self.published = False
        """Whether every namespace was written to once, or tried: one that cannot be must not hold up the others.

        Where another one writes: whether it has begun to.
        """
        self.writes = 0
        """ConfigMaps written."""
        self.failures = 0
        """Writes that the API server did not take; they are tried again."""

    @property
    def namespaces(self) -> int:
        """Namespaces that must have it."""
        return len(self._active)

    @property
    def missing(self) -> int:
        """Namespaces that do not have it as it is now."""
        wanted = self.text()
        return sum(self._there.get(namespace) != wanted for namespace in self._active)

    def text(self) -> str:
        """Give the bundle as it must be."""
        return anchors.to_pem(self._held.bundle).decode()

    def everywhere_since(self, anchor: str) -> float | None:
        """Say since when an anchor (SHA-256) is in every namespace, seconds since the epoch; None: it is not."""
        return self._since.get(anchor)

    def wake(self) -> None:
        """Look again: the bundle may be another one, or we lead now."""
        self._due.set()

    async def run(self) -> None:
        """Publish for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_namespaces())
            group.create_task(self._follow_ours())
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):  # wait_for may swallow a cancellation before Python 3.12
                        await self._due.wait()
                self._due.clear()
                if self._namespaces.synced and self._ours.synced and self._held.bundle:
                    if self._leads():
                        await self._publish()
                    self.published = self.published or bool(self._there)
                    self._note()

    async def _publish(self) -> None:
        wanted = self.text()
        lacking = [namespace for namespace in sorted(self._active) if self._there.get(namespace) != wanted]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def write(namespace: str) -> None:
            async with gate:
                await self._write(namespace, wanted)

        await asyncio.gather(*(write(namespace) for namespace in lacking))
        self.published = True

    async def _write(self, namespace: str, wanted: str) -> None:
        if not self._leads():  # any more: the next one sees to it
            return
        try:
            await configmaps.ensure(self._api, namespace, names.TRUST_BUNDLE, {names.TRUST_KEY: wanted})
        except kube.KubernetesError as error:
            if error.status in _NOWHERE and namespace not in self._active:
                return
            if not self.failures:  # said once: an API server that is away is away for all of them
                _log.warning("cannot write the trust bundle", namespace=namespace, error=str(error), hint=error.hint)
            self.failures += 1
            return
        self.writes += 1
        self._there[namespace] = wanted

    def _note(self) -> None:
        """Note since when each anchor is everywhere. One that was taken out by an edit starts anew."""
        texts = [self._there.get(namespace, "") for namespace in self._active]
        now_s = self._clock()
        since = {}
        for each in self._held.bundle:
            own = anchors.to_pem([each]).decode()
            if all(own in text for text in texts):
                name = anchors.fingerprint(each)
                since[name] = self._since.get(name, now_s)
        self._since = since

    async def _follow_namespaces(self) -> None:
        async for event in _events(self._namespaces):
            if event.change is informer.Change.GONE:
                self._active.discard(event.value)
            else:
                self._active.add(event.value)
            self._due.set()

    async def _follow_ours(self) -> None:
        async for event in _events(self._ours):
            namespace, text = event.value
            if event.change is informer.Change.GONE:
                self._there.pop(namespace, None)
            else:
                self._there[namespace] = text
            self._due.set()


async def _events(source: informer.Informer[Any]) -> AsyncIterator[informer.WatchEvent[Any]]:
    async with contextlib.aclosing(source.events()) as stream:
        async for event in stream:
            yield event


def _namespace(found: Mapping[str, Any]) -> str | None:
    """Give the name; None for one that is being deleted: nothing can be made in it any more."""
    if (found.get("status") or {}).get("phase") == "Terminating" or found["metadata"].get("deletionTimestamp"):
        return None
    return str(found["metadata"]["name"])


def _bundle(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["metadata"]["namespace"], configmaps.data_of(found).get(names.TRUST_KEY, "")
