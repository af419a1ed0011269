"""What the status of a Canary should say, and the patch that makes it so: computed, not done.

A patch holds for the very version of the object that was read: of two processes that decide about the same moment, one
is refused and reads again. Leaves out what is decided (``steps``).
"""

from collections.abc import Mapping
from typing import Any, Final

from injector.rollout import model, reading

Json = Mapping[str, Any]
ACCEPTED: Final = "Accepted"
PROMOTED: Final = "Promoted"
PAUSED: Final = "Paused"
_MAX_MESSAGE: Final = 1024
"""Kubernetes allows 32768; a person reads less."""


def path(found: reading.Canary) -> str:
    """Give the URL of a Canary; its status is below."""
    return f"{model.PATH.removesuffix(model.PLURAL)}namespaces/{found.namespace}/{model.PLURAL}/{found.name}"


def wanted(found: reading.Canary, status: model.Status | None, refused: str, *, now_s: float) -> dict[str, Any]:
    """Give the whole status. ``refused``: what cannot be acted on; without ``status`` nothing else changes."""
    conditions = [_condition(found, ACCEPTED, "False" if refused else "True", _accepted(refused), now_s)]
    if status is None:
        kept = {key: value for key, value in found.status.items() if key not in {"conditions", "observedGeneration"}}
        others = [each for each in _conditions(found.status) if each.get("type") != ACCEPTED]
        return {**kept, "observedGeneration": found.generation, "conditions": [*conditions, *others]}
    paused = ("Ordered", f"by the annotation {model.ORDER}") if status.paused else ("Running", "")
    conditions += [
        _condition(found, PROMOTED, _promoted(status), (status.why.value, status.message), now_s),
        _condition(found, PAUSED, "True" if status.paused else "False", paused, now_s),
    ]
    return {
        "observedGeneration": found.generation,
        "phase": status.phase.value,
        "canaryWeight": status.weight,
        "failedChecks": status.failed_checks,
        "iterations": status.iterations,
        "paused": status.paused,
        "aborted": status.aborted,
        "rollout": status.rollout,
        "revisions": sorted(status.revisions),
        "retired": list(status.retired),
        "step": status.step,
        "lastTransitionTime": reading.time_text(status.since_s),
        "conditions": conditions,
    }


def patch(found: reading.Canary, body: Json) -> list[Json]:
    """Write the JSON patch of ``/status``."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": found.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.version},
        {"op": "add", "path": "/status", "value": body},
    ]


def _accepted(refused: str) -> tuple[str, str]:
    return ("Invalid", refused) if refused else ("Accepted", "")


def _promoted(status: model.Status) -> str:
    match status.phase:
        case model.Phase.SUCCEEDED:
            return "True"
        case model.Phase.FAILED:
            return "False"
        case _:
            return "Unknown"


def _condition(found: reading.Canary, kind: str, holds: str, told: tuple[str, str], now_s: float) -> dict[str, Any]:
    """Give a condition; it keeps its time while its status stays."""
    before = next((each for each in _conditions(found.status) if each.get("type") == kind), {})
    since = before.get("lastTransitionTime")
    same = before.get("status") == holds and isinstance(since, str)
    return {
        "type": kind,
        "status": holds,
        "reason": told[0],
        "message": told[1][:_MAX_MESSAGE],
        "observedGeneration": found.generation,
        "lastTransitionTime": since if same else reading.time_text(now_s),
    }


def _conditions(status: Json) -> list[Json]:
    found = status.get("conditions")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
