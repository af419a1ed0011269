"""What is served, said in the three ways that clients ask: groups, resource lists, and aggregated discovery.

``kubectl`` 1.36 asks for the aggregated form and falls back to the others. Leaves out OpenAPI: ``openapi``.
"""

from collections.abc import Sequence
from typing import Any

from comparisons.lab.api import catalogue, kinds

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
    "proxy": ("", "v1", "PodProxyOptions"),
}
_CREATED = ("binding", "eviction", "token")
_SUBRESOURCE_VERBS = {
    "log": ["get"],
    "finalize": ["update"],
    "proxy": ["get"],
    **{name: ["create"] for name in _CREATED},
}


def api_versions(address: str) -> Value:
    """Return what ``/api`` says."""
    client = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [client]}


def api_groups(served: catalogue.Catalogue) -> Value:
    """``/apis``."""
    found = [_group(name, versions) for name, versions in served.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def api_group(served: catalogue.Catalogue, name: str) -> Value:
    """``/apis/<group>``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, served.groups()[name])}


def _group(name: str, versions: Sequence[str]) -> Value:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def resources(served: catalogue.Catalogue, group: str, version: str) -> Value:
    """``/api/v1`` or ``/apis/<group>/<version>``."""
    rows = [row for kind in served.of(group, version) for row in _rows(kind)]
    said = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": said, "resources": rows}


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


def aggregated(served: catalogue.Catalogue, *, core: bool) -> Value:
    """Return the v2 form, of ``/api`` (the core group) or ``/apis`` (all others)."""
    found = {"": ["v1"]} if core else served.groups()
    return {
        "kind": AGGREGATED,
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_item(served, name, versions) for name, versions in found.items()],
    }


def _item(served: catalogue.Catalogue, group: str, versions: Sequence[str]) -> Value:
    found = [
        {"version": each, "freshness": "Current", "resources": [_resource(kind) for kind in served.of(group, each)]}
        for each in versions
    ]
    return {"metadata": {"name": group, "creationTimestamp": None}, "versions": found}


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
