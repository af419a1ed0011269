"""What each route's status should say of its Services, and which writes that takes: computed, not done.

Here because several controllers write into one list: what others said of the same route stays, and nothing is written
that is there already. Leaves out the requests (``service``).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from injector import names
from injector.routes import attach, book, model

Json = Mapping[str, Any]
CONTROLLER: Final = f"{names.GROUP}/mesh"
"""``controllerName`` of what we say."""
_ACCEPTED: Final = "Accepted"
_RESOLVED: Final = "ResolvedRefs"
_PARTIAL: Final = "PartiallyInvalid"
_UNSUPPORTED: Final = "UnsupportedValue"
_MAX_MESSAGE: Final = 1024
"""Kubernetes allows 32768; a person reads less."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One JSON patch of one ``/status``."""

    key: tuple[str, str, str]
    """Kind, namespace and name."""
    path: str
    body: list[Json]


def plan(entries: Iterable[book.Entry], attached: attach.Attached, *, now_text: str) -> tuple[Write, ...]:
    """Compare what each status should say with what it says. ``now_text`` is RFC 3339, for conditions."""
    writes = []
    for entry in entries:
        verdicts = {} if entry.error else {each.parent: each for each in attached.verdicts.get(entry.key, ())}
        if not entry.error and not verdicts.keys() >= set(entry.parents):
            continue  # it was seen after routes were attached: its turn comes
        wanted = parents(entry, verdicts, now_text=now_text)
        if wanted != _listed(entry.status):
            about = {"uid": entry.uid, "resourceVersion": entry.version}
            writes.append(Write(key=entry.key, path=path(entry), body=patch(about, {"parents": wanted})))
    return tuple(writes)


def path(entry: book.Entry) -> str:
    """Give the URL of a route's status."""
    base = entry.kind.path.removesuffix(entry.kind.plural)
    return f"{base}namespaces/{entry.namespace}/{entry.kind.plural}/{entry.name}/status"


def parents(entry: book.Entry, verdicts: Mapping[model.Parent, attach.Verdict], *, now_text: str) -> list[Json]:
    """Give the list of a status: what others said as it is, and after it what we say."""
    there = _listed(entry.status)
    others = [each for each in there if each.get("controllerName") != CONTROLLER]
    before = [each for each in there if each.get("controllerName") == CONTROLLER]
    return others + [_parent(entry, each, verdicts.get(each), before, now_text) for each in entry.parents]


def _parent(
    entry: book.Entry, parent: model.Parent, verdict: attach.Verdict | None, before: Iterable[Json], now_text: str
) -> Json:
    known = next((each for each in before if each.get("parentRef") == parent.written), {})
    if verdict is None:
        refused = attach.Condition(holds=False, reason=_UNSUPPORTED, message=parent.error or entry.error)
        conditions = {_ACCEPTED: refused}
    else:
        conditions = {_ACCEPTED: verdict.accepted, _RESOLVED: verdict.resolved}
        if verdict.partial is not None:
            conditions[_PARTIAL] = verdict.partial
    return {
        "parentRef": parent.written,
        "controllerName": CONTROLLER,
        "conditions": [condition(kind, each, entry.generation, known, now_text) for kind, each in conditions.items()],
    }


def condition(kind: str, said: attach.Condition, generation: int, known: Json, now_text: str) -> Json:
    """Give a condition; it keeps its time while its status stays. ``known``: what has the conditions of before."""
    listed = known.get("conditions")
    before = next((each for each in listed or () if isinstance(each, dict) and each.get("type") == kind), {})
    status = "True" if said.holds else "False"
    since = before.get("lastTransitionTime")
    return {
        "type": kind,
        "status": status,
        "reason": said.reason,
        "message": said.message[:_MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since if before.get("status") == status and isinstance(since, str) else now_text,
    }


def _listed(status: Json) -> list[Json]:
    found = status.get("parents")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def patch(metadata: Json, wanted: Json) -> list[Json]:
    """Give the JSON patch: the status whole, if the object is the one that was read, since others write into it too."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": "/status", "value": wanted},
    ]
