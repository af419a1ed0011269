"""Follows routes, grants and meshes in Kubernetes and writes their status: what of this feature talks to anybody.

Here because an edge carries values and decides nothing: what a status should say is ``status``'s and ``meshes``'s.
Leaves out when to call it (``steering``).
"""

import http
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from injector.kube import rest
from injector.policy import reading
from injector.routes import book, meshes, model, status
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

log = structlog.get_logger("routes")

GRANTS_PATH: Final = f"/apis/{model.GROUP}/v1beta1/{book.GRANTS}"
"""v1 came with release 1.5 of the Gateway API; all releases serve this one."""
_METADATA: Final = ("namespace", "name", "uid", "generation", "resourceVersion", "creationTimestamp")
_RETRY_S: Final = 5.0
"""After a write that failed: arbitrary, but short against a person's patience with ``kubectl get -w``."""
_MOST_AT_ONCE: Final = 64
"""Writes of one round: the others wait for the next, a second later, and come first then."""
_RIVAL: Final = frozenset({http.HTTPStatus.CONFLICT, http.HTTPStatus.UNPROCESSABLE_ENTITY})
"""Somebody else wrote first: what the API server says when a ``test`` of a patch does not hold."""
_MESH_PACE: Final = informer.Pace(absent_s=10.0)
"""Most clusters have no such kind, and nobody waits for it."""
Events = informer.Informer[dict[str, Any]]


def follow(api: "client.ApiClient", clock: Callable[[], int]) -> Mapping[str, Events]:
    """Make the informers of all routes and grants, by plural; their values go into ``book.Book``."""
    paths = {**{kind.plural: kind.path for kind in model.Kind}, book.GRANTS: GRANTS_PATH}
    return {
        plural: informer.Informer(api, kube.Resource(path=path), trim=trim, clock=clock)
        for plural, path in paths.items()
    }


def follow_meshes(api: "client.ApiClient", clock: Callable[[], int]) -> Events:
    """Make the informer of all meshes; its values go into ``meshes.Book``."""
    return informer.Informer(api, kube.Resource(path=meshes.PATH), trim=trim, clock=clock, pace=_MESH_PACE)


async def read(api: "client.ApiClient") -> list[book.Entry]:
    """Read every route once. Raises KubernetesError."""
    known = book.Book()
    for kind in model.Kind:
        try:
            async for item in reading.each(api, kind.path):
                known.apply(trim(item), kind)
        except kube.KubernetesError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            raise kube.KubernetesError(
                f"this cluster does not know {kind}", hint="apply deploy/crds/gateway-api", status=error.status
            ) from error
    return list(known.entries.values())


def trim(item: Any) -> dict[str, Any]:
    """Keep of an object what is read here."""
    metadata = {key: item["metadata"].get(key) for key in _METADATA}
    return {"metadata": metadata, "spec": item.get("spec"), "status": item.get("status") or {}}


def take(known: book.Book, plural: str, event: informer.WatchEvent[dict[str, Any]]) -> None:
    """Enter an event into the book."""
    gone = event.change is informer.Change.GONE
    if plural == book.GRANTS:
        (known.revoke if gone else known.allow)(event.value)
        return
    kind = next(each for each in model.Kind if each.plural == plural)
    if gone:
        known.forget(event.value, kind)
    else:
        known.apply(event.value, kind)


class Statuses:
    """Writes what ``status.plan`` and ``meshes.plan`` say. One task calls ``write``."""

    def __init__(self, api: "client.ApiClient") -> None:
        self._api = api
        self._round = 0
        self._tried: dict[tuple[str, str, str], int] = {}
        """In which round a write that is still due was tried last."""
        self.failed = 0

    async def write(self, writes: Sequence[status.Write], *, now_s: float) -> float | None:
        """Write what is due. Returns when to call again although nothing happened (clock of ``now_s``), or None.

        Never raises for what the API server says: a status that could not be written is tried again.
        """
        due = {each.key for each in writes}
        self._round += 1
        self._tried = {key: tried for key, tried in self._tried.items() if key in due}
        # Who waits longest is first; sorted is stable, so among those never tried whose change is oldest.
        turn = sorted(writes, key=lambda write: self._tried.get(write.key, 0))[:_MOST_AT_ONCE]
        self._tried |= dict.fromkeys((each.key for each in turn), self._round)
        sent = [await self._send(write) for write in turn]
        if len(writes) > _MOST_AT_ONCE:
            return now_s + 1
        return None if all(sent) else now_s + _RETRY_S

    async def _send(self, write: status.Write) -> bool:
        """Send one; False if it must be tried again."""
        try:
            await rest.patch(self._api, write.path, write.body, rest.Patch.JSON)
        except kube.KubernetesError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return True
            if error.status not in _RIVAL:
                self.failed += 1
                if self.failed == 1:  # said once: the others fail alike, and are counted
                    log.warning("status not written", path=write.path, error=str(error), hint=error.hint)
            return False
        return True
