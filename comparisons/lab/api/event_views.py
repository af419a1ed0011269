"""Events under the names of ``events.k8s.io/v1``: the same objects as the core group's, as on the real server.

After k8s.io/kubernetes/pkg/apis/events/v1/conversion.go. Pure.
"""

from typing import Any

Value = dict[str, Any]

_CORE_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_VIEW_NAMES = {core: view for view, core in _CORE_NAMES.items()}


def shown(stored: Value) -> Value:
    """Return a core Event as ``events.k8s.io/v1`` has it."""
    renamed = {_VIEW_NAMES.get(name, name): part for name, part in stored.items()}
    return {**renamed, "apiVersion": "events.k8s.io/v1"}


def stored(value: Value) -> Value:
    """Return an Event of ``events.k8s.io/v1`` as the core group has it."""
    renamed = {_CORE_NAMES.get(name, name): part for name, part in value.items()}
    return {**renamed, "apiVersion": "v1"}
