"""Who of several decides: what a candidate makes of a Lease, by the rules of client-go. Pure: the time is an argument.

    candidate = leases.Candidate("control-0_4f1d", leases.Timing())
    wanted = candidate.plan(found, now_s, wall)        # what to write over ``found``; None: somebody else holds it
    candidate.wrote(wanted, asked_s)                   # the API server took it
    candidate.leads(now_s)

Here because two that decide at once is what must not be, whatever clocks say. So times in the Lease are for people:
what counts is how long a candidate has itself seen the Lease unchanged. Whoever holds it stops by itself
(``renew_deadline_s`` after it *asked* for its last renewal) well before anybody else may begin (``lease_s`` after
seeing that renewal, which is later). Leaves out requests (``election``).
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

Json = Mapping[str, Any]
_LABELS: Final = {"app.kubernetes.io/managed-by": "ipseity"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take; the defaults are those of kube-controller-manager."""

    lease_s: float = 15.0
    """How long a Lease must have been seen unchanged before another candidate takes it."""
    renew_deadline_s: float = 10.0
    """How long after its last renewal a holder may still act."""
    retry_s: float = 2.0
    """Between two looks, and between two renewals."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What is in one."""

    holder: str = ""
    """Empty: it was given back, and anybody may take it at once."""
    duration_s: int = 0
    """How long others have to wait, as its holder says. 0: it does not say."""
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = ""
    """resourceVersion; empty: not in the cluster yet."""


def parse(found: Json) -> Lease:
    """Read a Lease object. What is of another type than it must be counts as not said; the next holder mends it."""
    spec, metadata = found.get("spec"), found.get("metadata") or {}
    said: Json = spec if isinstance(spec, Mapping) else {}
    return Lease(
        holder=_text(said.get("holderIdentity")),
        duration_s=_number(said.get("leaseDurationSeconds")),
        transitions=_number(said.get("leaseTransitions")),
        acquired=_text(said.get("acquireTime")),
        renewed=_text(said.get("renewTime")),
        version=_text(metadata.get("resourceVersion")),
    )


def render(lease: Lease, namespace: str, name: str) -> Json:
    """Make the Lease object."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": dict(_LABELS)}
    if lease.version:
        metadata["resourceVersion"] = lease.version
    spec = {
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": lease.duration_s,
        "leaseTransitions": lease.transitions,
        "acquireTime": lease.acquired,
        "renewTime": lease.renewed,
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class Candidate:
    """What one process knows. All times but ``wall`` are on one clock that only grows, also in suspend."""

    def __init__(self, name: str, timing: Timing) -> None:
        """``name`` must be another one for each process, also for one that is started again in the same pod."""
        self.name: Final = name
        self.timing: Final = timing
        self._seen: Lease | None = None
        self._seen_s = 0.0
        self._until_s = float("-inf")

    @property
    def holder(self) -> str:
        """Who holds it, as far as we have seen; empty: nobody."""
        return self._seen.holder if self._seen else ""

    def leads(self, now_s: float) -> bool:
        """Whether to decide: to be asked right before each write."""
        return now_s < self._until_s

    def plan(self, found: Lease | None, now_s: float, wall: dt.datetime) -> Lease | None:
        """Say what to write over what was found (None: there is no Lease); None where another one holds it."""
        text = _micro_time(wall)
        duration_s = round(self.timing.lease_s)
        mine = Lease(holder=self.name, duration_s=duration_s, acquired=text, renewed=text)
        if found is None or found.holder != self.name:
            self._until_s = float("-inf")  # somebody took it from us by hand: they are believed at once
        if found is None:
            return mine
        self._observe(found, now_s)
        if found.holder == self.name:
            return dataclasses.replace(found, duration_s=duration_s, renewed=text)
        if found.holder and now_s < self._free_s():
            return None
        return dataclasses.replace(mine, transitions=found.transitions + 1, version=found.version)

    def wrote(self, lease: Lease, asked_s: float) -> None:
        """Take note that the API server took what was planned. ``asked_s`` is when the request was begun."""
        self._observe(lease, asked_s)
        self._until_s = asked_s + self.timing.renew_deadline_s

    def resigns(self) -> bool:
        """Stop leading, at once; False if we do not hold it, as far as we know."""
        self._until_s = float("-inf")
        return self.holder == self.name

    def gives_back(self, found: Lease | None, wall: dt.datetime) -> Lease | None:
        """Say what to write after ``resigns``, so that others need not wait; None: it is not ours any more."""
        if found is None or found.holder != self.name:
            return None
        return dataclasses.replace(found, holder="", duration_s=1, renewed=_micro_time(wall))

    def rest_s(self, now_s: float) -> float:
        """Say how long to wait before the next look: until the Lease becomes free, if that is sooner."""
        if self.leads(now_s) or not self.holder or self.holder == self.name:
            return self.timing.retry_s
        return min(self.timing.retry_s, max(0.0, self._free_s() - now_s))

    def _free_s(self) -> float:
        said_s = self._seen.duration_s if self._seen else 0
        return self._seen_s + (said_s or self.timing.lease_s)

    def _observe(self, found: Lease, now_s: float) -> None:
        """Note when we first saw it like this. Its version does not count: a label is no sign of life."""
        if self._seen is None or _said(self._seen) != _said(found):
            self._seen_s = now_s
        self._seen = found


def _micro_time(wall: dt.datetime) -> str:
    return wall.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _said(lease: Lease) -> Lease:
    return dataclasses.replace(lease, version="")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
