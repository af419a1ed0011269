"""What is served, said in the three ways that clients ask: groups, resource lists, and aggregated discovery.

``kubectl`` 1.36 asks for the aggregated form and falls back to the others. Leaves out OpenAPI: ``openapi``.
"""

from collections.abc import Sequence
from typing import Any

from comparisons.lab.api import kinds

Value = dict[str, Any]

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+ipseity-lab",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "linux/amd64",
}
"""The version whose behaviour is followed. The suffix says that it is not that server."""

AGGREGATED = "APIGroupDiscoveryList"
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "v1", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
_SUBRESOURCE_VERBS = {
    "log": ["get"],
    "binding": ["create"],
    "eviction": ["create"],
    "finalize": ["update"],
    "token": ["create"],
}


def groups() -> list[str]:
    """Return the named groups, in the order of the table."""
    return list(dict.fromkeys(kind.group for kind in (*kinds.GROUPED, *kinds.ASKED)))


def api_versions(address: str) -> Value:
    """Return what ``/api`` says."""
    client = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [client]}


def api_groups() -> Value:
    """``/apis``."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups()]}


def api_group(name: str) -> Value:
    """``/apis/<group>``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def _group(name: str) -> Value:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def resources(group: str) -> Value:
    """``/api/v1`` or ``/apis/<group>/v1``."""
    rows = [row for kind in _of(group) for row in _rows(kind)]
    version = f"{group}/v1" if group else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": rows}


def _of(group: str) -> list[kinds.Kind]:
    return [kind for kind in (*kinds.ALL, *kinds.ASKED) if kind.group == group]


def _rows(kind: kinds.Kind) -> list[Value]:
    head: Value = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind}
    head |= {"verbs": _kind_verbs(kind)} | _names(kind.short, kind.categories)
    return [head, *(_subresource_row(kind, name) for name in kind.subresources)]


def _kind_verbs(kind: kinds.Kind) -> list[str]:
    return ["create"] if kind in kinds.ASKED else VERBS


def _names(short: Sequence[str], categories: Sequence[str]) -> Value:
    named = {"shortNames": list(short), "categories": list(categories)}
    return {key: value for key, value in named.items() if value}


def _subresource_row(kind: kinds.Kind, name: str) -> Value:
    row: Value = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    group, version, answer = _SUBRESOURCE_KINDS.get(name, (kind.group, kind.version, kind.kind))
    foreign = {"group": group, "version": version} if name in _SUBRESOURCE_KINDS else {}
    return row | foreign | {"kind": answer, "verbs": _verbs(name)}


def _verbs(subresource: str) -> list[str]:
    return _SUBRESOURCE_VERBS.get(subresource, ["get", "patch", "update"])


def aggregated(*, core: bool) -> Value:
    """Return the v2 form, of ``/api`` (the core group) or ``/apis`` (all others)."""
    names = [""] if core else groups()
    return {
        "kind": AGGREGATED,
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_item(name) for name in names],
    }


def _item(group: str) -> Value:
    version = {"version": "v1", "freshness": "Current", "resources": [_resource(kind) for kind in _of(group)]}
    return {"metadata": {"name": group, "creationTimestamp": None}, "versions": [version]}


def _resource(kind: kinds.Kind) -> Value:
    found: Value = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _kind_verbs(kind),
    }
    subresources = [_subresource(kind, name) for name in kind.subresources]
    return found | _names(kind.short, kind.categories) | ({"subresources": subresources} if subresources else {})


def _subresource(kind: kinds.Kind, name: str) -> Value:
    group, version, answer = _SUBRESOURCE_KINDS.get(name, (kind.group, kind.version, kind.kind))
    response = {"group": group, "version": version, "kind": answer}
    return {"subresource": name, "responseKind": response, "verbs": _verbs(name)}
