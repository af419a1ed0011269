"""The kinds that are served just now: those of the table, and those that CustomResourceDefinitions add.

The one place that changes while the server runs; ``establishing`` writes it. Leaves out what discovery makes of it.
"""

import re
from collections.abc import Iterable, Mapping

from comparisons.lab.api import kinds

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


class Catalogue:
    """Kinds by the paths and names under which they can be asked for."""

    def __init__(self) -> None:
        self._custom: dict[str, tuple[kinds.Kind, ...]] = {}
        """Definition's name -> its served versions."""
        self._by_path: Mapping[tuple[str, str, str], kinds.Kind] = kinds.by_path()

    def put(self, definition: str, served: Iterable[kinds.Kind]) -> None:
        """Serve these versions of a definition, and no others."""
        self._custom[definition] = tuple(served)
        self._rebuild()

    def drop(self, definition: str) -> None:
        """Serve nothing of a definition any more."""
        self._custom.pop(definition, None)
        self._rebuild()

    def _rebuild(self) -> None:
        custom = {(kind.group, kind.version, kind.plural): kind for kind in self._all_custom()}
        self._by_path = custom | dict(kinds.by_path())

    def _all_custom(self) -> tuple[kinds.Kind, ...]:
        return tuple(kind for served in self._custom.values() for kind in served)

    def of_definition(self, definition: str) -> tuple[kinds.Kind, ...]:
        """Return the versions of a definition that are served."""
        return self._custom.get(definition, ())

    def by_path(self, group: str, version: str, plural: str) -> kinds.Kind | None:
        """Return the kind that a path names."""
        return self._by_path.get((group, version, plural))

    def of(self, group: str, version: str) -> list[kinds.Kind]:
        """Return the kinds of a group's version, in the order of the table."""
        every = (*kinds.ALL, *kinds.ASKED, *self._all_custom())
        return [kind for kind in every if (kind.group, kind.version) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """Return the named groups, the table's first, with their versions, the preferred one first."""
        found: dict[str, list[str]] = {}
        for kind in (*kinds.GROUPED, *kinds.ASKED, *self._all_custom()):
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return {group: sorted(versions, key=priority) for group, versions in found.items()}


def priority(version: str) -> tuple[int, int, int, str]:
    """Sort versions as Kubernetes does: v2, v1, v1beta1, v1alpha2, and then whatever else by its letters."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (len(_STAGES), 0, 0, version)
    return (_STAGES[found[2]], -int(found[1]), -int(found[3] or 0), version)
