"""What is wrong with an Event, as the real server judges it: pkg/apis/core/validation/events.go in k8s.io/kubernetes.

Here because a program whose Events are refused says nothing to anybody. Pure. Leaves out that Events cannot be changed,
and whether the kind that one is about has namespaces.
"""

from collections.abc import Iterator
from typing import Any, Final

from comparisons.lab.api import names, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

_LONGEST_NOTE: Final = 1024
_LONGEST: Final = 128
"""Of reportingInstance, action and reason."""
_OLD: Final = ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource")


def of_view(value: Value) -> Causes:
    """Judge an Event of ``events.k8s.io/v1``."""
    yield from _namespace(value, "regarding")
    if not value.get("eventTime"):
        yield status.required("eventTime")
    controller = value.get("reportingController") or ""
    if not controller:
        yield status.required("reportingController")
    elif why := names.qualified(controller):
        yield status.bad("reportingController", controller, why)
    for field in ("reportingInstance", "action", "reason"):
        said = value.get(field) or ""
        if not said:
            yield status.required(field)
        elif len(said) > _LONGEST:
            yield status.bad(field, "", f"can have at most {_LONGEST} characters")
    if len(value.get("note") or "") > _LONGEST_NOTE:
        yield status.bad("note", "", f"can have at most {_LONGEST_NOTE} characters")
    if value.get("type") not in {"Normal", "Warning"}:
        yield status.bad("type", value.get("type") or "", "has invalid value")
    yield from (status.bad(field, value[field], "needs to be unset") for field in _OLD if value.get(field))


def of_core(value: Value) -> Causes:
    """Judge an Event of the core group."""
    yield from _namespace(value, "involvedObject")


def _namespace(value: Value, field: str) -> Causes:
    """Judge where it is: with what it is about, and in ``default`` if that is in no namespace."""
    about, own = (value.get(field) or {}).get("namespace") or "", value["metadata"].get("namespace", "")
    wanted = about or "default"
    if own != wanted:
        yield status.bad("involvedObject.namespace", about, "does not match event.namespace")
