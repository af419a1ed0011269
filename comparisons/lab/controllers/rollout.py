"""How a Deployment goes from its old ReplicaSets to the new one: a plan of sizes, as a value.

The arithmetic is that of k8s.io/kubernetes/pkg/controller/deployment: never more than replicas + maxSurge, never
fewer available than replicas - maxUnavailable. Pure.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One ReplicaSet's numbers."""

    name: str
    wanted: int
    """``spec.replicas``."""
    available: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A rolling update's limits, as absolute numbers."""

    surge: int
    unavailable: int


def bounds(strategy: Value, replicas: int) -> Bounds:
    """``maxSurge`` rounds up, ``maxUnavailable`` down; both 0 would stand still, so then one may be unavailable."""
    said = strategy.get("rollingUpdate") or {}
    surge = absolute(said.get("maxSurge", "25%"), replicas, up=True)
    unavailable = absolute(said.get("maxUnavailable", "25%"), replicas, up=False)
    return Bounds(surge=surge, unavailable=unavailable if surge or unavailable else 1)


def absolute(value: int | str, total: int, *, up: bool) -> int:
    """Return a number, or a percentage of a total."""
    if isinstance(value, int):
        return value
    share = int(value.rstrip("%")) * total / 100
    return math.ceil(share) if up else math.floor(share)


def plan(replicas: int, strategy: Value, new: Size, old: Sequence[Size], old_pods: int) -> dict[str, int]:
    """ReplicaSet name -> the size it gets now; only what changes."""
    if strategy.get("type") == "Recreate":
        return _recreate(replicas, new, old, old_pods)
    limits = bounds(strategy, replicas)
    grown = _grow(replicas, limits, new, old)
    wanted = new.wanted if grown is None else grown
    shrunk = _shrink(replicas, limits, dataclasses.replace(new, wanted=wanted), old)
    return shrunk | ({} if grown is None else {new.name: grown})


def _recreate(replicas: int, new: Size, old: Sequence[Size], old_pods: int) -> dict[str, int]:
    shrunk = {each.name: 0 for each in old if each.wanted}
    if shrunk or old_pods:
        return shrunk
    return {new.name: replicas} if new.wanted != replicas else {}


def _grow(replicas: int, limits: Bounds, new: Size, old: Sequence[Size]) -> int | None:
    if new.wanted >= replicas:
        return replicas if new.wanted > replicas else None
    total = new.wanted + sum(each.wanted for each in old)
    room = replicas + limits.surge - total
    return min(replicas, new.wanted + room) if room > 0 else None


def _shrink(replicas: int, limits: Bounds, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """Take from the old what is not needed: first what is not available anyway, then as the new becomes available."""
    total = new.wanted + sum(each.wanted for each in old)
    least = replicas - limits.unavailable
    spare = total - least - max(0, new.wanted - new.available)
    changed: dict[str, int] = {}
    if spare <= 0:
        return changed
    sizes = {each.name: each.wanted for each in old}
    for each in old:
        useless = min(spare, max(0, each.wanted - each.available))
        sizes[each.name] -= useless
        spare -= useless
    available = new.available + sum(min(each.available, sizes[each.name]) for each in old)
    spare = max(0, available - least)
    for each in old:
        taken = min(spare, sizes[each.name])
        sizes[each.name] -= taken
        spare -= taken
    return {each.name: sizes[each.name] for each in old if sizes[each.name] != each.wanted}
