"""Canaries and routes as objects and as values, for tests of ``injector.rollout``."""

import copy
import dataclasses
from typing import Any

from injector.rollout import model

Json = dict[str, Any]
NAMESPACE, NAME, UID = "shop", "web", "u-web"
RANGES = (
    {"name": "request-success-rate", "thresholdRange": {"min": 99}},
    {"name": "request-duration", "thresholdRange": {"max": 500}},
)
SPEC: Json = {
    "targetRef": {"kind": "HTTPRoute", "name": "web"},
    "stable": "web-v1",
    "canary": "web-v2",
    "analysis": {
        "interval": "30s",
        "threshold": 3,
        "stepWeight": 10,
        "maxWeight": 30,
        "minRequests": 40,
        "metrics": list(RANGES),
    },
}
WANTED = model.Spec(
    route="web",
    stable="web-v1",
    canary="web-v2",
    provider=model.Provider.PROXIES,
    interval_s=30.0,
    threshold=3,
    weights=(10, 20, 30),
    least_requests=40,
    ranges=(
        model.Range(metric=model.Metric.SUCCESS, least=99.0, window_s=30.0),
        model.Range(metric=model.Metric.DURATION, most=500.0, window_s=30.0),
    ),
    deadline_s=600,
)
STATUS = model.Status(
    phase=model.Phase.PROGRESSING,
    rollout="r1",
    revisions=frozenset({"a"}),
    step=2,
    weight=10,
    since_s=1000.0,
    why=model.Why.PROGRESSING,
    message="not checked yet",
)
SEEN = model.Seen(
    rollout="r1",
    order=model.Order.RESUME,
    revisions=frozenset({"a"}),
    ready=True,
    standing=model.Standing.APPLIED,
)
PASSED = model.Check(passed=True, message="well")
FAILED = model.Check(passed=False, message="request-success-rate 90.00 % is below 99")


def spec(**changes: Any) -> Json:
    """Write a spec; ``analysis`` is merged, None removes."""
    made = copy.deepcopy(SPEC)
    made["analysis"] |= changes.pop("analysis", {})
    made |= changes
    made["analysis"] = {key: value for key, value in made["analysis"].items() if value is not None}
    return {key: value for key, value in made.items() if value is not None}


def canary(annotations: Json | None = None, status: Json | None = None, *, name: str = NAME, **changes: Any) -> Json:
    """Write a Canary."""
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": annotations or {},
    }
    return {"metadata": metadata, "spec": spec(**changes), **({"status": status} if status else {})}


def route(*weights: int | None, annotations: Json | None = None) -> Json:
    """Write a route: one rule with weights of web-v1 and web-v2, in front of it one with web-v2 alone."""
    refs = [{"name": name, "port": 8080} for name in ("web-v1", "web-v2")]
    both = [ref if weight is None else {**ref, "weight": weight} for ref, weight in zip(refs, weights, strict=True)]
    metadata: Json = {"name": "web", "namespace": NAMESPACE, "uid": "u-route", "resourceVersion": "5"}
    if annotations is not None:
        metadata["annotations"] = annotations
    rules = [{"matches": [{"path": {"value": "/try"}}], "backendRefs": [refs[1]]}, {"backendRefs": both}]
    return {"metadata": metadata, "spec": {"parentRefs": [], "rules": rules}}


def status(**changes: Any) -> model.Status:
    """Give a status."""
    return dataclasses.replace(STATUS, **changes)


def seen(**changes: Any) -> model.Seen:
    """Give what is seen."""
    return dataclasses.replace(SEEN, **changes)
