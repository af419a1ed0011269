"""Who manages which fields (``metadata.managedFields``)."""

from typing import Any

from comparisons.lab.api import kinds

Value = dict[str, Any]


def record(kind: kinds.Kind, old: Value | None, new: Value, manager: str, now: str, subresource: str) -> None:
    """Notes that the manager owns what it changed."""
    _ = kind, old, new, manager, now, subresource
