"""Server-side apply."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from comparisons.lab.api import asking, registry, status

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an apply did."""

    value: Value
    created: bool
    warnings: tuple[str, ...] = ()


def options(query: Mapping[str, str]) -> bool:
    """Whether to force."""
    return asking.flag(query, "force")


def apply(objects: registry.Registry, target: asking.Target, body: bytes, force: bool, who: registry.Change) -> Applied:
    """Not there yet."""
    raise status.method_not_allowed()
