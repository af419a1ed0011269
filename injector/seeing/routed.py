"""What one proxy has counted of the requests that it sent: by Service, rule and backend, from its ``/metrics``.

Here because which route a request took is known to the caller's proxy alone. Counters are as they stand; ``since``
gives the difference of two readings. Leaves out reading (``scrape``), and what came in (``measured``).
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from injector.discovery import counted
from injector.seeing import exposition

_ANSWERED: Final = f"envoy_{counted.PREFIX}_response_total"
_BUCKET: Final = f"envoy_{counted.PREFIX}_response_latency_ms_bucket"
WANTED: Final = frozenset({_ANSWERED, _BUCKET})
"""Series that are read here."""


class Way(NamedTuple):
    """Where requests went. Empty: there was none."""

    service: str
    """``namespace/name`` that was called; empty: a pod's own address."""
    port: str
    route: str
    """``HTTPRoute namespace/name``."""
    rule: str
    """Its number, from 1."""
    backend: str
    """``namespace/name`` of the Service that answered."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Requests that were answered."""

    succeeded: int = 0
    failed: int = 0
    within: Mapping[float, int] = dataclasses.field(default_factory=dict)
    """Answered within so many milliseconds, cumulative; ``math.inf``: all."""

    @property
    def requests(self) -> int:
        """All of them."""
        return self.succeeded + self.failed

    @property
    def success(self) -> float | None:
        """Share of requests that did not fail; None: there was none."""
        return self.succeeded / self.requests if self.requests else None


Reading = Mapping[Way, Sent]


def read(text: str) -> Reading:
    """Read what a proxy has counted since it started. Raises nothing: a line that cannot be read is passed over."""
    outcomes: dict[Way, dict[str, int]] = {}
    within: dict[Way, dict[float, int]] = {}
    for sample in exposition.samples(text, WANTED):
        if sample.labels.get("direction") != "outbound" or not 0 <= sample.value < 2**63:  # also NaN
            continue
        way, value = _way(sample.labels), int(sample.value)
        if sample.name == _ANSWERED:
            of, key = outcomes.setdefault(way, {}), sample.labels.get("classification", "")
            of[key] = of.get(key, 0) + value
        else:
            bound = _bound(sample.labels.get("le", ""))
            times = within.setdefault(way, {})
            times[bound] = times.get(bound, 0) + value
    return {
        way: Sent(
            succeeded=outcomes.get(way, {}).get("success", 0),
            failed=outcomes.get(way, {}).get("failure", 0),
            within=within.get(way, {}),
        )
        for way in {**outcomes, **within}
    }


def since(after: Reading, before: Reading) -> Reading:
    """Give what was counted between two readings. A counter that fell was reset: all that it says is new."""
    return {way: _grown(each, before.get(way, Sent())) for way, each in after.items()}


def added(readings: Iterable[Reading]) -> Reading:
    """Add up what several proxies have counted."""
    found: dict[Way, Sent] = {}
    for reading in readings:
        for way, each in reading.items():
            found[way] = _sum(found.get(way, Sent()), each)
    return found


def total(sent: Iterable[Sent]) -> Sent:
    """Add up several ways."""
    found = Sent()
    for each in sent:
        found = _sum(found, each)
    return found


def _grown(after: Sent, before: Sent) -> Sent:
    if after.succeeded < before.succeeded or after.failed < before.failed:
        return after
    if after.within.get(math.inf, 0) < before.within.get(math.inf, 0):
        return after
    return Sent(
        succeeded=after.succeeded - before.succeeded,
        failed=after.failed - before.failed,
        within={bound: max(0, count - before.within.get(bound, 0)) for bound, count in after.within.items()},
    )


def _sum(one: Sent, other: Sent) -> Sent:
    bounds = one.within.keys() | other.within.keys()
    return Sent(
        succeeded=one.succeeded + other.succeeded,
        failed=one.failed + other.failed,
        within={bound: one.within.get(bound, 0) + other.within.get(bound, 0) for bound in bounds},
    )


def _way(labels: Mapping[str, str]) -> Way:
    route = _joined(labels, "route_namespace", "route_name")
    return Way(
        service=_joined(labels, "parent_namespace", "parent_name"),
        port=labels.get("parent_port", ""),
        route=f"{labels.get('route_kind', '')} {route}" if route else "",
        rule=labels.get("route_rule", ""),
        backend=_joined(labels, "dst_namespace", "dst_service"),
    )


def _joined(labels: Mapping[str, str], namespace: str, name: str) -> str:
    return f"{labels[namespace]}/{labels[name]}" if labels.get(namespace) and labels.get(name) else ""


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf
