"""Events about injections, on whoever owns the pod: what ``kubectl describe deployment`` shows.

Here because whoever looks for the sidecar that is not there looks at the workload. Off the admission's path: what comes
too fast is dropped and counted, and a hundred pods of one workload are told once. Leaves out writing (``kube.events``).
"""

import asyncio
import collections
import typing
import urllib.parse
from collections.abc import Callable
from typing import Final

import msgspec

from injector.kube import events, rest
from injector.webhook import decide, injection, metrics, review
from injector.webhook import pod as pods
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_MAX_WAITING: Final = 512
_MAX_REMEMBERED: Final = 4096
_REPEAT_S: Final = 600.0
"""The same is told again after that long: Events are kept for an hour."""
_PARENTS: Final = {("apps/v1", "ReplicaSet"): "replicasets", ("batch/v1", "Job"): "jobs"}
"""Owners that people do not write themselves, and where to read who owns them."""
_QUIET: Final = {decide.Reason.ALREADY_INJECTED, decide.Reason.UNSUPPORTED_RESOURCE}
_REASONS: Final = {"inject": "Injected", "skip": "InjectionSkipped", "deny": "InjectionRefused"}


class _Owned(msgspec.Struct):
    metadata: pods.Metadata


class Announcements:
    """Takes outcomes at any time; ``run`` tells them."""

    def __init__(
        self,
        api: "client.ApiClient",
        writer: events.Writer,
        counted: metrics.Metrics,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds that only grow."""
        self._api = api
        self._writer = writer
        self._counted = counted.events
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[events.Object, injection.Outcome]] = asyncio.Queue(_MAX_WAITING)
        self._told: collections.OrderedDict[tuple[events.Object, str], float] = collections.OrderedDict()
        self._owners: collections.OrderedDict[events.Object, events.Object] = collections.OrderedDict()

    def announce(self, request: review.Review, outcome: injection.Outcome) -> None:
        """Take an outcome; never waits, never raises. Of a dry run nothing is told."""
        about = subject(request, outcome)
        if about is None or request.dry_run:
            return
        key = (about, outcome.message)
        now = self._clock()
        if now - self._told.get(key, float("-inf")) < _REPEAT_S:
            self._counted.labels("repeated").inc()
            return
        try:
            self._waiting.put_nowait((about, outcome))
        except asyncio.QueueFull:
            self._counted.labels("dropped").inc()
            return
        _remember(self._told, key, now)

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            about, outcome = await self._waiting.get()
            self._writer.tell(event(await self._root(about), outcome))
            self._counted.labels("told").inc()

    async def _root(self, about: events.Object) -> events.Object:
        """Find who owns a ReplicaSet or a Job; the owner itself where nobody does, or where it cannot be learned."""
        plural = _PARENTS.get((about.api_version, about.kind))
        if about not in self._owners and plural and about.name:
            _remember(self._owners, about, await self._parent(about, plural))
        return self._owners.get(about, about)

    async def _parent(self, about: events.Object, plural: str) -> events.Object:
        name = urllib.parse.quote(about.name, safe="")  # nobody has checked it yet: whoever makes a pod may write it
        path = f"/apis/{about.api_version}/namespaces/{about.namespace}/{plural}/{name}"
        try:
            found = msgspec.convert(await rest.get(self._api, path) or {}, type=_Owned)
        except (kube.KubernetesError, msgspec.ValidationError):
            return about
        owners = [owner for owner in found.metadata.owner_references or () if owner.controller]
        return _object(owners[0], about.namespace) if owners else about


def subject(request: review.Review, outcome: injection.Outcome) -> events.Object | None:
    """Say whom an Event is about; None: nobody, or nothing is worth one."""
    if outcome.pod is None or not outcome.message or outcome.reason in _QUIET:
        return None
    if outcome.pod.owner:
        return _object(outcome.pod.owner, request.namespace)
    name = request.name or (outcome.pod.metadata and outcome.pod.metadata.name) or ""
    return events.Object(kind="Pod", namespace=request.namespace, name=name) if name else None


def event(about: events.Object, outcome: injection.Outcome) -> events.Event:
    """Make the Event."""
    fine = outcome.result == "inject" or outcome.reason in (decide.Reason.DISABLE_PRESENT, decide.Reason.ENABLE_ABSENT)
    return events.Event(
        about=about,
        kind=events.Kind.NORMAL if fine else events.Kind.WARNING,
        reason=_REASONS[outcome.result],
        action="Inject",
        note=f"{outcome.message} ({outcome.reason})" if outcome.reason else outcome.message,
    )


def _object(owner: pods.Owner, namespace: str) -> events.Object:
    return events.Object(
        kind=owner.kind, namespace=namespace, name=owner.name, uid=owner.uid, api_version=owner.api_version
    )


K = typing.TypeVar("K")
V = typing.TypeVar("V")


def _remember(known: "collections.OrderedDict[K, V]", key: K, value: V) -> None:
    """Remember the newest few thousand."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
