"""The weights of an HTTPRoute: which rules a Canary is about, how they stand, and the patch that changes them. Pure.

Every rule that sends to exactly the two Services is moved; rules with one of them, or neither, stay as they are. Beside
the weights an annotation of the route says for which step they were written (``<canary's uid>/<step>/<weight>``): so a
weight that somebody else has changed is told apart from one that we did not get to change, also after a crash, and who
is late cannot undo what was decided since. A patch holds for the very version of the route that was read.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from injector import names
from injector.rollout import model
from injector.routes import model as routes

Json = Mapping[str, Any]
PATH: Final = f"/apis/{routes.GROUP}/v1/namespaces"
MARK: Final = f"rollout.{names.GROUP}/"
"""Annotation on the route; the Canary's name follows."""
_DEFAULT: Final = 1
"""A backend's weight where none is written, as the Gateway API has it."""
_NONE: Final = (_DEFAULT, _DEFAULT)
"""Nobody wrote these: it is how the API server keeps a rule without weights. Who wants halves writes 50 and 50."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What we wrote last."""

    uid: str
    step: int
    weight: int

    def __str__(self) -> str:
        """Give the annotation's value."""
        return f"{self.uid}/{self.step}/{self.weight}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One rule with both backends."""

    rule: int
    stable: int
    canary: int
    """Their places in the route."""
    weights: tuple[int, int]
    """Stable's and the canary's, as they are."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A route as a Canary sees it."""

    pairs: tuple[Pair, ...] = ()
    mark: Mark | None = None
    problem: str = ""
    """Why there is nothing to move."""


def path(namespace: str, name: str) -> str:
    """Give the URL of a route."""
    return f"{PATH}/{namespace}/httproutes/{name}"


def find(item: Json | None, spec: model.Spec, name: str) -> Found:
    """Look at a route. ``name``: the Canary's."""
    if item is None:
        return Found(problem=f"there is no HTTPRoute {spec.route} in this namespace")
    namespace = item["metadata"]["namespace"]
    pairs = []
    for number, rule in enumerate(_list(_dict(item.get("spec")).get("rules"))):
        refs = _list(_dict(rule).get("backendRefs"))
        here = [_service(each, namespace) for each in refs]
        if spec.stable not in here or spec.canary not in here:
            continue
        if len(refs) != 2:
            return Found(problem=f"rule {number} of HTTPRoute {spec.route} has backends beside {_both(spec)}")
        stable, canary = here.index(spec.stable), here.index(spec.canary)
        weights = (_weight(refs[stable]), _weight(refs[canary]))
        pairs.append(Pair(rule=number, stable=stable, canary=canary, weights=weights))
    if not pairs:
        return Found(problem=f"no rule of HTTPRoute {spec.route} has both {_both(spec)} as backends")
    marked = _dict(item["metadata"].get("annotations")).get(f"{MARK}{name}", "")
    return Found(pairs=tuple(pairs), mark=_read(str(marked)))


def standing(found: Found, status: model.Status, uid: str) -> model.Standing:
    """Compare a route with what the status says."""
    mark = found.mark if found.mark is not None and found.mark.uid == uid else None
    if found.problem:
        return model.Standing.ABSENT
    late = mark is None or mark.step < status.step
    if late and (status.phase is model.Phase.INITIALIZING or status.aborted):
        return model.Standing.BEHIND
    if (late or mark == Mark(uid, status.step, status.weight)) and all(each.weights == _NONE for each in found.pairs):
        return model.Standing.RESET
    ours = mark is not None and all(each.weights == _shares(mark.weight) for each in found.pairs)
    if mark is not None and mark.step >= status.step:
        return model.Standing.APPLIED if ours else model.Standing.FOREIGN
    return model.Standing.BEHIND if ours else model.Standing.OVERTAKEN


def taken(found: Found) -> bool:
    """Tell whether the canary has all the traffic that there is."""
    return bool(found.pairs) and all(stable == 0 < canary for stable, canary in (each.weights for each in found.pairs))


def patch(item: Json, found: Found, status: model.Status, *, name: str, uid: str) -> list[Json]:
    """Write the JSON patch that makes a route as the status says. ``name`` and ``uid``: the Canary's."""
    metadata = item["metadata"]
    mark = {f"{MARK}{name}": str(Mark(uid, status.step, status.weight))}
    annotated = isinstance(metadata.get("annotations"), dict)
    operations: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": f"/metadata/annotations/{_escaped(next(iter(mark)))}", "value": next(iter(mark.values()))}
        if annotated
        else {"op": "add", "path": "/metadata/annotations", "value": mark},
    ]
    stable, canary = _shares(status.weight)
    for pair in found.pairs:
        for place, weight in ((pair.stable, stable), (pair.canary, canary)):
            where = f"/spec/rules/{pair.rule}/backendRefs/{place}/weight"
            operations.append({"op": "add", "path": where, "value": weight})
    return operations


def _shares(weight: int) -> tuple[int, int]:
    return model.ALL - weight, weight


def _both(spec: model.Spec) -> str:
    return f"{spec.stable} and {spec.canary}"


def _read(text: str) -> Mark | None:
    match text.split("/"):
        case [uid, step, weight] if uid and step.isdecimal() and weight.isdecimal():
            return Mark(uid, int(step), int(weight))
        case _:
            return None


def _service(ref: Any, namespace: str) -> str:
    """Name the Service of this namespace that a backend is; empty: it is none."""
    said = _dict(ref)
    ours = (said.get("kind") or "Service", said.get("group") or "", said.get("namespace") or namespace)
    return str(said.get("name") or "") if ours == ("Service", "", namespace) else ""


def _weight(ref: Any) -> int:
    weight = _dict(ref).get("weight")
    return weight if isinstance(weight, int) else _DEFAULT


def _escaped(key: str) -> str:
    """RFC 6901."""
    return key.replace("~", "~0").replace("/", "~1")


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
