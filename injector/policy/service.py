"""Follows policies in Kubernetes and writes their status. The only place of this feature that talks to anybody.

Here because an edge carries values and decides nothing: which version is in force is ``book``'s, what a status should
say is ``status``'s. Leaves out when to call it (``app``), and reading pods.
"""

import dataclasses
import http
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from injector.cluster import model as cluster
from injector.kube import rest
from injector.policy import book, model, status
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

log = structlog.get_logger("policy")

RESOURCE: Final = kube.Resource(path=model.PATH)
_RETRY_S: Final = 5.0
"""After a write that failed: arbitrary, but short against a person's patience with ``kubectl get -w``."""
_MOST_AT_ONCE: Final = 32
"""Writes of one round: the others wait for the next, a second later."""


def follow(api: "client.ApiClient", clock: Callable[[], int]) -> informer.Informer[dict[str, Any]]:
    """Make the informer of all policies; its values go into ``book.Book``."""
    return informer.Informer(api, RESOURCE, trim=trim, clock=clock)


def trim(item: Any) -> dict[str, Any]:
    """Keep of an object what is read here."""
    metadata = {key: item["metadata"].get(key) for key in ("namespace", "name", "uid", "generation")}
    return {"metadata": metadata, "spec": item.get("spec"), "status": item.get("status") or {}}


@dataclasses.dataclass(slots=True)
class Counts:
    """What became of writes, for metrics."""

    written: int = 0
    gone: int = 0
    """The policy was deleted meanwhile."""
    conflicts: int = 0
    failed: int = 0


class Statuses:
    """Writes what ``status.plan`` says. One task calls ``write``."""

    def __init__(self, api: "client.ApiClient") -> None:
        self._api = api
        self._written_s: dict[str, float] = {}
        self.counts = Counts()

    async def write(
        self, entries: Mapping[str, book.Entry], pods: Sequence[cluster.Pod], *, now_s: float, now_text: str
    ) -> float | None:
        """Write what is due. Returns when to call again although nothing happened (clock of ``now_s``), or None.

        Never raises for what the API server says: a status that could not be written is tried again.
        """
        self._written_s = {key: at_s for key, at_s in self._written_s.items() if key in entries}
        plan = status.plan(entries.values(), pods, self._written_s, now_s=now_s, now_text=now_text)
        again = [] if plan.again_s is None else [plan.again_s]
        for write in plan.writes[:_MOST_AT_ONCE]:
            if not await self._send(write):
                again.append(now_s + _RETRY_S)
            else:
                self._written_s[write.key] = now_s
        if len(plan.writes) > _MOST_AT_ONCE:
            again.append(now_s + 1)
        return min(again, default=None)

    async def _send(self, write: status.Write) -> bool:
        """Send one; False if it must be tried again."""
        try:
            await rest.patch(self._api, write.path, write.body, rest.Patch.JSON)
        except kube.KubernetesError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                self.counts.gone += 1
                return True
            if error.status == http.HTTPStatus.CONFLICT:
                self.counts.conflicts += 1
                return False
            self.counts.failed += 1
            if self.counts.failed == 1:  # said once: the others fail alike, and are counted
                log.warning("status of a policy not written", policy=write.key, error=str(error), hint=error.hint)
            return False
        self.counts.written += 1
        return True
