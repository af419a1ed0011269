"""Whether a CustomResourceDefinition is possible, and what an update of it may not change.

As k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. Pure. Leaves out conversion by webhook, which is
refused: the versions of a kind differ in what they show, not in form.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from comparisons.lab.api import definitions, jsonpaths, names, schemas, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = re.compile(r"(^|\.)(k8s|kubernetes)\.io$")


def fill(definition: Value) -> None:
    """Set what is not said, in place: pkg/apis/apiextensions/v1/defaults.go."""
    spec = definition.get("spec") or {}
    said = spec.get("names") or {}
    if said.get("kind"):
        said.setdefault("singular", said["kind"].lower())
        said.setdefault("listKind", said["kind"] + "List")
    spec.setdefault("conversion", {}).setdefault("strategy", "None")


def check(definition: Value) -> list[status.Cause]:
    """Return everything that makes it impossible; required fields are there."""
    spec, name = definition["spec"], definition["metadata"].get("name", "")
    causes = [*_group(definition), *_scope(spec), *_names(spec["names"], "spec.names"), *_versions(spec)]
    if name != f"{spec['names']['plural']}.{spec['group']}":
        causes.insert(0, status.bad("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if spec["conversion"]["strategy"] != "None":
        causes.append(status.unsupported("spec.conversion.strategy", spec["conversion"]["strategy"], ["None"]))
    if spec.get("preserveUnknownFields"):
        why = "must be false in order to use defaults in the schema"
        causes.append(status.bad("spec.preserveUnknownFields", value=True, detail=why))
    return causes + list(_stored(definition))


def changed(old: Value, new: Value) -> Causes:
    """Return the changes that are refused."""
    for path in ("group", "names.plural"):
        yield from _same(old, new, path)
    if definitions.is_true(old, definitions.ESTABLISHED):
        for path in ("scope", "names.kind"):
            yield from _same(old, new, path)


def _same(old: Value, new: Value, path: str) -> Causes:
    was, is_ = old["spec"], new["spec"]
    for part in path.split("."):
        was, is_ = was.get(part) or {}, is_.get(part) or {}
    if was != is_:
        yield status.bad(f"spec.{path}", is_ or "", "field is immutable")


def _group(definition: Value) -> Causes:
    group = definition["spec"]["group"]
    if why := names.subdomain(group):
        yield status.bad("spec.group", group, why)
    elif "." not in group:
        yield status.bad("spec.group", group, "should be a domain with at least one dot")
    if _PROTECTED.search(group) and not (definition["metadata"].get("annotations") or {}).get(APPROVAL):
        why = "protected groups must have approval annotation, see https://github.com/kubernetes/enhancements/pull/1111"
        yield status.required(f"metadata.annotations[{APPROVAL}]", why)


def _scope(spec: Value) -> Causes:
    if spec["scope"] not in SCOPES:
        yield status.unsupported("spec.scope", spec["scope"], SCOPES)


def _names(said: Value, path: str) -> Causes:
    for part in ("plural", "singular"):
        if said.get(part) and (why := names.label_1035(said[part])):
            yield status.bad(f"{path}.{part}", said[part], why)
    for part in ("kind", "listKind"):
        if said.get(part) and (why := names.label_1035(said[part].lower())):
            yield status.bad(f"{path}.{part}", said[part], f"may have mixed case, but should otherwise match: {why}")
    if said.get("kind") == said.get("listKind"):
        yield status.bad(f"{path}.listKind", said.get("listKind"), "kind and listKind may not be the same")
    for part in ("shortNames", "categories"):
        for index, word in enumerate(said.get(part) or ()):
            if why := names.label_1035(word):
                yield status.bad(f"{path}.{part}[{index}]", word, why)


def _versions(spec: Value) -> Causes:
    versions = spec["versions"]
    said = [version["name"] for version in versions]
    if len(set(said)) < len(said):
        yield status.bad("spec.versions", said, "must contain unique version names")
    if sum(bool(version["storage"]) for version in versions) != 1:
        yield status.bad("spec.versions", said, "must have exactly one version marked as storage version")
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if why := names.label_1035(version["name"]):
            yield status.bad(f"{path}.name", version["name"], why)
        yield from _columns(version.get("additionalPrinterColumns") or (), f"{path}.additionalPrinterColumns")
        yield from _scale((version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale")
        for place, field in enumerate(version.get("selectableFields") or ()):
            yield from _path(field.get("jsonPath", ""), f"{path}.selectableFields[{place}].jsonPath")
    yield from _schemas(versions)


def _schemas(versions: Sequence[Value]) -> Causes:
    """Where all versions have one schema, the real server speaks of it as ``spec.validation``."""
    found = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    for index, schema in enumerate(found):
        if not schema:
            yield status.required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
    if all(schema and schema == found[0] for schema in found):
        yield from schemas.check(found[0] or {}, "spec.validation.openAPIV3Schema")
        return
    for index, schema in enumerate(found):
        yield from schemas.check(schema or {"type": "object"}, f"spec.versions[{index}].schema.openAPIV3Schema")


def _columns(columns: Sequence[Value], path: str) -> Causes:
    for index, column in enumerate(columns):
        here = f"{path}[{index}]"
        if column["type"] not in COLUMN_TYPES:
            yield status.unsupported(f"{here}.type", column["type"], COLUMN_TYPES)
        yield from _path(column["jsonPath"], f"{here}.jsonPath")


def _scale(scale: Value | None, path: str) -> Causes:
    roots = {"specReplicasPath": (".spec.",), "statusReplicasPath": (".status.",)}
    for part, starts in (roots | {"labelSelectorPath": (".spec.", ".status.")}).items() if scale else ():
        said = (scale or {}).get(part, "")
        if said and not said.startswith(starts):
            yield status.bad(f"{path}.{part}", said, f"should be a json path under {' or '.join(starts)}".rstrip("."))
        elif said:
            yield from _path(said, f"{path}.{part}")


def _path(text: str, path: str) -> Causes:
    try:
        jsonpaths.parse(text)
    except jsonpaths.BadPath as error:
        yield status.bad(path, text, str(error))


def _stored(definition: Value) -> Causes:
    said = [version["name"] for version in definition["spec"]["versions"]]
    for index, version in enumerate((definition.get("status") or {}).get("storedVersions") or ()):
        if version not in said:
            yield status.bad(f"status.storedVersions[{index}]", version, "must appear in spec.versions")
