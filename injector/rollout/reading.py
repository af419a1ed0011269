"""Reads a Canary as the API server gives it: what is wanted, what a person has ordered, what its status said.

Strictly: a field that is not known is refused, for it may be one that was meant to hold a bad version back. The status
is ours and may be anybody's all the same: what cannot be read of it is as if it had never been written, and the rollout
begins anew. Raises errors.InvalidPolicy, which names place, value and what is allowed.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from injector import errors
from injector.policy import document
from injector.rollout import model
from injector.routes import model as routes
from injector.routes import spelling

Json = Mapping[str, Any]
MAX_NAME: Final = 63
"""Of a Canary: the annotation on its route has its name in it, and an annotation's name has no more."""
LEAST_INTERVAL_S: Final = 1.0
MAX_WEIGHTS: Final = 100
MAX_THRESHOLD: Final = 1000
MAX_REQUESTS: Final = 1_000_000
_HOUR_S: Final = 3600
_DEADLINE_S: Final = 600
"""Flagger's default."""
_MOST: Final = 50
_LEAST_REQUESTS: Final = 50
"""Arbitrary: of 50 requests to a version that fails one in twenty, one check in thirteen sees no failure."""
_SERVICE: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_OBJECT: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PERCENT: Final = (0.0, 100.0)
_LONGEST_MS: Final = 30_000.0
"""A sidecar's histogram tells nothing apart that took longer."""
_TEXT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One object, as it was read."""

    namespace: str
    name: str
    uid: str
    version: str
    """``resourceVersion``: what is written holds for this very object."""
    generation: int
    created: str
    spec: model.Spec | None
    error: str
    """Why there is none; or, if there is one, what is wrong with the order."""
    order: model.Order
    rollout: str
    before: model.Status | None
    status: Json
    """As it is."""


def canary(item: Json) -> Canary:
    """Read an object. Never raises for what a user can write: what is wrong is in ``error``."""
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    order, error = _order(annotations.get(model.ORDER))
    spec = None
    try:
        spec = read(item.get("spec"), name=str(metadata["name"]))
    except errors.InvalidPolicy as refused:
        error = str(refused)
    status = item.get("status")
    known = status if isinstance(status, dict) else {}
    return Canary(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        version=str(metadata.get("resourceVersion") or ""),
        generation=int(metadata.get("generation") or 0),
        created=str(metadata.get("creationTimestamp") or ""),
        spec=spec,
        error=error,
        order=order,
        rollout=digest(spec, str(annotations.get(model.RESTART) or "")) if spec is not None else "",
        before=status_of(known),
        status=known,
    )


def rival(found: Canary, others: Iterable[Canary]) -> str:
    """Name an older Canary of the namespace that moves the same weights; empty: there is none."""
    if found.spec is None:
        return ""
    wanted = _moves(found.spec)
    same = [
        each
        for each in others
        if each.namespace == found.namespace and each.spec is not None and _moves(each.spec) == wanted
    ]
    first = min((each.created, each.name) for each in [*same, found])[1]
    return first if first != found.name else ""


def _moves(spec: model.Spec) -> tuple[str, frozenset[str]]:
    return spec.route, frozenset({spec.stable, spec.canary})


def digest(spec: model.Spec, restart: str) -> str:
    """Name what is being rolled out, and after a ``-`` which order to begin anew that is by, if there is one."""
    pair = json.dumps([spec.route, spec.stable, spec.canary])
    return "-".join(hashlib.sha256(each.encode()).hexdigest()[:16] for each in (pair, restart) if each)


def read(value: Any, *, name: str) -> model.Spec:
    """Read a spec. Raises errors.InvalidPolicy."""
    if len(name) > MAX_NAME:
        raise errors.InvalidPolicy(f"metadata.name: {name!r} is longer than {MAX_NAME} characters", hint="shorten it")
    node = document.Node("spec", value)
    fields = node.fields(
        "targetRef",
        "stable",
        "canary",
        "provider",
        "progressDeadlineSeconds",
        "analysis",
        required=("targetRef", "stable", "canary", "analysis"),
    )
    stable, canary_ = (
        fields[key].spelled(_SERVICE, "the name of a Service of this namespace") for key in ("stable", "canary")
    )
    if stable == canary_:
        fields["canary"].refuse("another Service than stable")
    provider = fields["provider"].choice(model.Provider) if "provider" in fields else model.Provider.PROXIES
    deadline = fields.get("progressDeadlineSeconds")
    return model.Spec(
        route=_target(fields["targetRef"]),
        stable=stable,
        canary=canary_,
        provider=provider,
        deadline_s=spelling.number(deadline, 1, 24 * _HOUR_S) if deadline is not None else _DEADLINE_S,
        **_analysis(fields["analysis"], provider),
    )


def _target(node: document.Node) -> str:
    fields = node.fields("apiVersion", "group", "kind", "name", required=("kind", "name"))
    if "apiVersion" in fields and fields["apiVersion"].value != f"{routes.GROUP}/v1":
        fields["apiVersion"].refuse(f"{routes.GROUP}/v1")
    if "group" in fields and fields["group"].value != routes.GROUP:
        fields["group"].refuse(routes.GROUP)
    if fields["kind"].value != "HTTPRoute":
        fields["kind"].refuse("HTTPRoute")
    return fields["name"].spelled(_OBJECT, "the name of an HTTPRoute of this namespace")


def _analysis(node: document.Node, provider: model.Provider) -> dict[str, Any]:
    fields = node.fields(
        "interval",
        "threshold",
        "stepWeight",
        "stepWeights",
        "maxWeight",
        "minRequests",
        "metrics",
        required=("interval", "threshold", "metrics"),
    )
    interval_s = spelling.duration_s(fields["interval"])
    if not LEAST_INTERVAL_S <= interval_s <= _HOUR_S:
        fields["interval"].refuse("1s to 1h")
    metrics = fields["metrics"].items(at_least=1, at_most=len(model.Metric))
    ranges = tuple(_range(each, interval_s, provider) for each in metrics)
    if len({each.metric for each in ranges}) != len(ranges):
        fields["metrics"].refuse("each metric once")
    least = fields.get("minRequests")
    return {
        "interval_s": interval_s,
        "threshold": spelling.number(fields["threshold"], 1, MAX_THRESHOLD),
        "weights": _weights(node, fields),
        "least_requests": spelling.number(least, 1, MAX_REQUESTS) if least is not None else _LEAST_REQUESTS,
        "ranges": ranges,
    }


def _weights(node: document.Node, fields: Mapping[str, document.Node]) -> tuple[int, ...]:
    """Give every weight that is held for a check."""
    if ("stepWeight" in fields) == ("stepWeights" in fields):
        node.refuse("either stepWeight or stepWeights")
    if "stepWeights" in fields:
        if "maxWeight" in fields:
            fields["maxWeight"].refuse("only with stepWeight: the last of stepWeights is the most")
        given = [
            spelling.number(each, 1, model.ALL) for each in fields["stepWeights"].items(at_least=1, at_most=MAX_WEIGHTS)
        ]
        if sorted(set(given)) != given:
            fields["stepWeights"].refuse("weights that rise")
        return tuple(given)
    step = spelling.number(fields["stepWeight"], 1, model.ALL)
    most = spelling.number(fields["maxWeight"], 1, model.ALL) if "maxWeight" in fields else max(_MOST, step)
    if step > most:
        fields["stepWeight"].refuse(f"at most maxWeight ({most})")
    return tuple(sorted({*range(step, most, step), most}))


def _range(node: document.Node, interval_s: float, provider: model.Provider) -> model.Range:
    fields = node.fields("name", "thresholdRange", "interval", required=("name", "thresholdRange"))
    metric = fields["name"].choice(model.Metric)
    window_s = interval_s
    if "interval" in fields:
        if provider is not model.Provider.PROMETHEUS:
            fields["interval"].refuse("nothing: the proxies are asked about all since the last check")
        window_s = spelling.duration_s(fields["interval"])
        if not 0 < window_s <= interval_s:
            fields["interval"].refuse("at most analysis.interval: what was before is not this weight's")
    bounds = fields["thresholdRange"].fields("min", "max")
    if not bounds:
        fields["thresholdRange"].refuse("min, max or both")
    low, high = _PERCENT if metric is model.Metric.SUCCESS else (0.0, _LONGEST_MS)
    least, most = (_number(bounds[key], low, high) if key in bounds else None for key in ("min", "max"))
    if least is not None and most is not None and least > most:
        fields["thresholdRange"].refuse("min not above max")
    return model.Range(metric=metric, least=least, most=most, window_s=window_s)


def _number(node: document.Node, low: float, high: float) -> float:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        node.refuse(f"a number from {low:g} to {high:g}")
    return float(node.value)


def _order(value: Any) -> tuple[model.Order, str]:
    """Give the order, and what is wrong with it: one that cannot be read holds, for it may have been meant as abort."""
    if value is None:
        return model.Order.RESUME, ""
    try:
        return document.Node(f"metadata.annotations[{model.ORDER}]", value).choice(model.Order), ""
    except errors.InvalidPolicy as refused:
        return model.Order.PAUSE, f"{refused}; until then it is as with {model.Order.PAUSE}"


def status_of(status: Json) -> model.Status | None:
    """Read what we have written; None where that is not what it says."""
    promoted = _promoted(status)
    revisions = status.get("revisions", [])
    try:
        return model.Status(
            phase=model.Phase(status["phase"]),
            rollout=_str(status["rollout"]),
            revisions=frozenset(_str(each) for each in revisions),
            retired=tuple(_str(each) for each in status.get("retired", [])),
            step=_int(status["step"]),
            weight=_int(status["canaryWeight"]),
            failed_checks=_int(status.get("failedChecks", 0)),
            iterations=_int(status.get("iterations", 0)),
            since_s=time_s(_str(status["lastTransitionTime"])),
            paused=status.get("paused") is True,
            aborted=status.get("aborted") is True,
            why=model.Why(promoted["reason"]),
            message=_str(promoted["message"]),
        )
    except (KeyError, ValueError, TypeError):
        return None


def _promoted(status: Json) -> Json:
    conditions = status.get("conditions")
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == "Promoted":
            return each
    return {}


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(value)
    return value


def time_s(text: str) -> float:
    """Read RFC 3339 in UTC, as we write it. Raises ValueError."""
    return dt.datetime.strptime(text, _TEXT).replace(tzinfo=dt.UTC).timestamp()


def time_text(at_s: float) -> str:
    """Write RFC 3339 in UTC, to the second."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime(_TEXT)
