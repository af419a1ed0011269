"""Kubernetes Events: what ``kubectl describe`` and ``kubectl get events`` show.

Here because a person looks there first. An Event is never worth waiting or failing for: writing one is bounded in time
and in number, and what could not be written is counted. Leaves out what is worth an Event.
"""

import asyncio
import dataclasses
import datetime as dt
import enum
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from injector.kube import rest
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_MAX_WAITING: Final = 256
"""Events that may wait for the API server. Arbitrary: more would say nothing new."""
_MAX_NOTE: Final = 1024
"""kube-apiserver's own limit on ``note``."""


class Kind(enum.StrEnum):
    """Kubernetes knows two."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """What an Event is about."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    api_version: str = "v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing worth telling."""

    about: Object
    kind: Kind
    reason: str
    """CamelCase, such as ``IssuerRefused``."""
    action: str
    """What was being done, such as ``RotateIssuer``."""
    note: str


class Writer:
    """Takes Events at any time; ``run`` writes them."""

    def __init__(self, api: "client.ApiClient", *, component: str, instance: str, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds since the epoch."""
        self._api = api
        self._component = component
        self._instance = instance
        self._clock = clock
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(_MAX_WAITING)
        self._number = int(clock() * 1e9)
        self.written = 0
        self.dropped = 0
        """Because too many waited, or the API server refused one."""

    def tell(self, event: Event) -> None:
        """Take an Event; never waits, never raises."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write Events for ever."""
        while True:
            event = await self._waiting.get()
            self._number += 1
            body = render(event, self._component, self._instance, now_s=self._clock(), number=self._number)
            try:
                await rest.create(self._api, _path(event), body)
                self.written += 1
            except kube.KubernetesError:
                self.dropped += 1


def render(event: Event, component: str, instance: str, *, now_s: float, number: int) -> Mapping[str, Any]:
    """Make the Event object (events.k8s.io/v1). ``number`` makes its name unique, as client-go does with the time."""
    about = event.about
    regarding = {"apiVersion": about.api_version, "kind": about.kind, "name": about.name, "namespace": about.namespace}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name[:200]}.{number:016x}", "namespace": _namespace(event)},
        "regarding": {**regarding, "uid": about.uid} if about.uid else regarding,
        "type": event.kind.value,
        "reason": event.reason,
        "action": event.action,
        "note": event.note[:_MAX_NOTE],
        "eventTime": dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": component,
        "reportingInstance": instance[:128],
    }


def _namespace(event: Event) -> str:
    """Of a cluster-wide object the Events are in ``default``, as Kubernetes has it."""
    return event.about.namespace or "default"


def _path(event: Event) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{_namespace(event)}/events"
