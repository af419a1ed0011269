"""A CustomResourceDefinition -> the kinds that it adds, one for each version that is served. Pure.

Relies on ``definition_validation``. Leaves out when they are served: ``establishing``.
"""

from collections.abc import Mapping
from typing import Any

from comparisons.lab.api import kinds, shapes

Value = dict[str, Any]

ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of a definition whose objects are still to be deleted."""


def kinds_of(definition: Value) -> tuple[kinds.Kind, ...]:
    """Return the kinds; their names are those that were accepted."""
    return tuple(_kind(definition, version) for version in definition["spec"]["versions"] if version["served"])


def stored_kind(definition: Value) -> kinds.Kind:
    """Return the kind at the version that is stored, whether that is served or not."""
    return next(_kind(definition, version) for version in definition["spec"]["versions"] if version["storage"])


def storage(definition: Value) -> str:
    """Return the version that is stored."""
    found: str = next(version["name"] for version in definition["spec"]["versions"] if version["storage"])
    return found


def condition(definition: Value, type_: str) -> Value:
    """Return a condition; an empty one if it is not said."""
    found = (definition.get("status") or {}).get("conditions") or ()
    return next((each for each in found if each["type"] == type_), {})


def is_true(definition: Value, type_: str) -> bool:
    """Whether a condition holds."""
    return condition(definition, type_).get("status") == "True"


def _deprecation(spec: Value, version: Mapping[str, Any]) -> str:
    words = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    return str(version.get("deprecationWarning") or words) if version.get("deprecated") else ""


def _kind(definition: Value, version: Mapping[str, Any]) -> kinds.Kind:
    spec = definition["spec"]
    names = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    schema, more = version["schema"]["openAPIV3Schema"], version.get("subresources") or {}
    custom = kinds.Custom(
        schema=schema,
        storage=storage(definition),
        singular=names.get("singular") or names["kind"].lower(),
        list_kind=names.get("listKind") or names["kind"] + "List",
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields") or ()),
        scale=more.get("scale"),
        deprecation=_deprecation(spec, version),
        terminating="deletionTimestamp" in definition["metadata"],
    )
    return kinds.Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        shape=shapes.of_schema(schema),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        subresources=tuple(name for name in ("status", "scale") if name in more),
        generation=True,
        custom=custom,
    )
