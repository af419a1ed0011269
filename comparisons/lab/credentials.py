"""A pod's service account tokens: asked for once, kept, and renewed long before they end.

Here because every start of a container and every look at a volume needs them, and each would be another token. Rules:
k8s.io/kubernetes/pkg/kubelet/token. Leaves out the files in which they reach programs: ``volumes``.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from comparisons.lab import clock, cluster, volumes
from ipseity import kube

Json = dict[str, Any]
LONGEST_S = 24 * 3600
"""kubelet's maxTTL: a token is renewed after a day, however long it would still live."""
RENEW_AT = 0.8
"""Of its life."""
MISSING_API = (404, 405, 501)
log = structlog.get_logger("lab.node")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token. Times are of the wall clock, which is what it was signed by."""

    text: str
    issued_wall_ns: int
    expires_wall_ns: int

    @property
    def due_wall_ns(self) -> int:
        """When it is to be replaced."""
        life_ns = max(0, self.expires_wall_ns - self.issued_wall_ns)
        return self.issued_wall_ns + min(int(life_ns * RENEW_AT), LONGEST_S * 10**9)

    def good(self, now_wall_ns: int) -> bool:
        """Whether it may still be shown to anybody."""
        return now_wall_ns < self.expires_wall_ns


class Unavailable(Exception):  # noqa: N818  # it reads as what happened
    """This API gives no tokens at all."""


class Credentials:
    """The tokens of one pod."""

    def __init__(self, api: cluster.Cluster) -> None:
        self._api = api
        self._known: dict[volumes.TokenWish, Token] = {}

    def due_wall_ns(self) -> int | None:
        """When the next of them is to be replaced; None if there is none."""
        return min((token.due_wall_ns for token in self._known.values()), default=None)

    async def current(self, pod: Json, wishes: Iterable[volumes.TokenWish]) -> Mapping[tuple[str, int], str]:
        """Return a token for each wish, by audience and lifetime. Raises kube.KubernetesError or Unavailable."""
        return {(wish.audience, wish.ttl_s): (await self._current(pod, wish)).text for wish in wishes}

    async def _current(self, pod: Json, wish: volumes.TokenWish) -> Token:
        known, now_wall_ns = self._known.get(wish), clock.wall_ns()
        if known is not None and now_wall_ns < known.due_wall_ns:
            return known
        try:
            answer = await self._api.token(pod, wish.audience, wish.ttl_s)
        except kube.KubernetesError as error:
            if error.status in MISSING_API and known is None:
                raise Unavailable(str(error)) from error
            if known is None or not known.good(now_wall_ns):
                raise
            log.warning("token not renewed, the old one is still good", pod=pod["metadata"]["name"], error=str(error))
            return known
        expires_wall_ns = clock.parse(answer["expirationTimestamp"])
        self._known[wish] = Token(text=answer["token"], issued_wall_ns=now_wall_ns, expires_wall_ns=expires_wall_ns)
        return self._known[wish]
