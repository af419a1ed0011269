"""What namespaces say, at hand when a pod comes; and their label kept equal to their annotation.

Here because an admission must not wait for the API server where it need not. The label is written when the namespace
is (``admit``), and by ``run`` for namespaces that were annotated while no webhook listened. Leaves out what annotations
mean.
"""

import asyncio
import contextlib
import http
import typing
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from injector import names
from injector.kube import rest
from injector.webhook import decide, patch, review
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

log = structlog.get_logger("injection")

NAMESPACES: Final = kube.Resource(path="/api/v1/namespaces")
_ASKING: Final = 8
"""Look-ups of namespaces not known yet, at once: only those made in the last moments are asked for."""
_LOOK_UP_S: Final = 3.0
"""Below the webhook's own time limit, so that whoever waits gets our words."""


class Namespace(msgspec.Struct, frozen=True):
    """What is kept of one."""

    name: str
    annotations: dict[str, str]
    label: str | None
    """``names.INJECTS``."""


class _Meta(msgspec.Struct, frozen=True):
    name: str
    uid: str = ""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class _Shape(msgspec.Struct, frozen=True):
    metadata: _Meta


class Namespaces:
    """Follows all namespaces. ``run`` in one task; ``annotations`` from anywhere."""

    def __init__(self, api: "client.ApiClient", clock: Callable[[], int]) -> None:
        """``clock`` gives nanoseconds."""
        self._api = api
        self._informer = informer.Informer(api, NAMESPACES, trim=trim, clock=clock, shape=_Shape)
        self._known: dict[str, Namespace] = {}
        self._asking = asyncio.Semaphore(_ASKING)
        self.mirrored = 0
        """Labels written."""
        self.failed = 0
        """Labels that could not be written; tried again when the namespace changes or is listed anew."""

    @property
    def synced(self) -> bool:
        """Whether all namespaces have been read once."""
        return self._informer.synced

    async def annotations(self, name: str, *, fresh: bool = False) -> Mapping[str, str]:
        """Give the annotations of a namespace that matter here. Raises KubernetesError if they cannot be learned.

        ``fresh`` asks the API server: what is at hand may be some milliseconds old.
        """
        known = None if fresh else self._known.get(name)
        return (known or await self._look_up(name)).annotations

    async def run(self) -> None:
        """Follow for ever."""
        async with contextlib.aclosing(self._informer.events()) as events:
            async for event in events:
                if event.change is informer.Change.GONE:
                    self._known.pop(event.value.name, None)
                else:
                    self._known[event.value.name] = event.value
                    await self._mirror(event.value)

    async def _look_up(self, name: str) -> Namespace:
        """Ask the API server. The answer is not kept: the informer may have brought a newer one meanwhile."""
        async with self._asking:
            path = f"{NAMESPACES.path}/{urllib.parse.quote(name, safe='')}"
            body = await kube.get(self._api, path, timeout_s=_LOOK_UP_S)
        try:
            return trim(msgspec.json.decode(body, type=_Shape))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise kube.KubernetesError(f"namespace {name[:80]!r} cannot be read: {error}") from error

    async def _mirror(self, namespace: Namespace) -> None:
        label = label_for(namespace.annotations)
        if namespace.label == label or namespace.name in decide.EXEMPT:
            return
        body = {"metadata": {"labels": {names.INJECTS: label}}}
        try:
            await rest.patch(self._api, f"{NAMESPACES.path}/{namespace.name}", body)
            self.mirrored += 1
        except kube.KubernetesError as error:
            self.failed += 1
            log.warning("namespace not labelled", namespace=namespace.name, error=str(error), hint=error.hint)


def trim(found: _Shape) -> Namespace:
    """Keep what matters here."""
    said = found.metadata.annotations or {}
    ours = {key: value for key, value in said.items() if key == names.INJECT or key.startswith(names.CONFIG_PREFIX)}
    return Namespace(found.metadata.name, ours, (found.metadata.labels or {}).get(names.INJECTS))


def label_for(annotations: Mapping[str, str]) -> str | None:
    """Give the label that goes with a namespace's annotations; None: it must have none."""
    return decide.ENABLED if annotations.get(names.INJECT) == decide.ENABLED else None


def admit(request: review.Review) -> bytes:
    """Answer a request about a namespace that is being written: its label becomes what its annotation says."""
    try:
        found = msgspec.json.decode(request.object, type=_Shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return review.refuse(request.uid, f"ipseity: not a namespace: {error}", http.HTTPStatus.BAD_REQUEST)
    operations = plan(found.metadata)
    return review.admit(request.uid, patch=patch.encode(operations) if operations else None)


def plan(metadata: _Meta) -> list[dict[str, Any]]:
    """Make the JSON patch that brings the label in line."""
    label = label_for(metadata.annotations or {})
    if label == (metadata.labels or {}).get(names.INJECTS):
        return []
    path = f"/metadata/labels/{patch.escaped(names.INJECTS)}"
    if label is None:
        return [{"op": "remove", "path": path}]
    if metadata.labels is None:
        return [patch.add("/metadata/labels", {names.INJECTS: label})]
    return [patch.add(path, label)]
