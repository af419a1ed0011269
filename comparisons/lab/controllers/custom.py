"""Has the cache follow the objects of established CustomResourceDefinitions: they are collected like all others.

Outcome: owner references, finalizers and the end of a namespace work for custom kinds. Leaves out what a custom object
is for: that is its own controller's.
"""

from collections.abc import Sequence

from comparisons.lab.api import definitions, kinds
from comparisons.lab.controllers import cache


class Custom:
    """The follower of custom kinds. Its keys are definitions."""

    name = "custom-kinds"

    def __init__(self, known: cache.Cache) -> None:
        self._known = known
        self._followed: dict[cache.Key, kinds.Kind] = {}

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a definition that changed."""
        _ = gone
        return [cache.key_of(value)] if kind is kinds.CUSTOM_RESOURCE_DEFINITION else []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Follow what the definition defines, and no longer what it once did."""
        definition = self._known.get(kinds.CUSTOM_RESOURCE_DEFINITION, key)
        wanted = None if definition is None else served(definition)
        followed = self._followed.pop(key, None)
        if followed is not None and followed != wanted:
            self._known.unfollow(followed)
        if wanted is not None:
            self._known.follow(wanted)
            self._followed[key] = wanted
        return None


def served(definition: cache.Value) -> kinds.Kind | None:
    """Return the kind at one version that is served, the stored one if it is; None while it is not established."""
    if not definitions.is_true(definition, definitions.ESTABLISHED):
        return None
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    versions = [version["name"] for version in spec["versions"] if version["served"]]
    if not versions:
        return None
    stored = definitions.storage(definition)
    return kinds.Kind(
        group=spec["group"],
        version=stored if stored in versions else versions[0],
        kind=names["kind"],
        plural=names["plural"],
        shape="",
        namespaced=spec["scope"] == "Namespaced",
    )
