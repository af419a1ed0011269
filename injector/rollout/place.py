"""The pods behind a Service: which there are, of which version, and whether they can be sent to. Pure.

Here because a new version shows in its pods (``pod-template-hash`` of a Deployment, ``controller-revision-hash`` of a
StatefulSet) and nowhere else that needs no further rights. Leaves out reading them (``keeper``).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from injector.cluster import model as cluster
from injector.cluster import objects
from injector.rollout import model

Json = Mapping[str, Any]
_REVISIONS: Final = ("pod-template-hash", "controller-revision-hash")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A Service and its pods, at one moment."""

    namespace: str
    service: str
    pods: tuple[cluster.Pod, ...] = ()
    """Those that are not ending."""
    problem: str = ""
    """Why there can be none."""

    @property
    def revisions(self) -> frozenset[str]:
        """Versions of them."""
        return frozenset(sorted({found for each in self.pods if (found := _revision(each))})[: model.MOST_REVISIONS])

    @property
    def ready(self) -> tuple[cluster.Pod, ...]:
        """Those that are sent to."""
        return tuple(each for each in self.pods if each.ready)

    @property
    def empty(self) -> str:
        """Why it cannot be sent to; empty: it can."""
        return self.problem or ("" if self.ready else f"Service {self.service} has no ready pod")

    @property
    def unready(self) -> str:
        """Why it cannot be sent to, or is not one version; empty: it can, and is."""
        if len(self.revisions) > 1:
            return f"pods of Service {self.service} are of {len(self.revisions)} versions: one takes the other's place"
        return self.empty


def selector(service: Json | None, name: str) -> tuple[str, str]:
    """Give a Service's label selector as a query; or why there is none."""
    if service is None:
        return "", f"there is no Service {name} in this namespace"
    spec = service.get("spec")
    labels = spec.get("selector") if isinstance(spec, dict) else None
    if not isinstance(labels, dict) or not labels:
        return "", f"Service {name} selects no pods"
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())), ""


def pods(items: Iterable[Json]) -> tuple[cluster.Pod, ...]:
    """Read pods; what is over, or ending, or cannot be read, is left out."""
    found = []
    for item in items:
        try:
            record = objects.pod(item)
        except objects.Malformed:
            continue
        if record is not None and not item["metadata"].get("deletionTimestamp"):
            found.append(record.pod)
    return tuple(found)


def _revision(pod: cluster.Pod) -> str:
    return next((pod.labels[key] for key in _REVISIONS if key in pod.labels), "")
