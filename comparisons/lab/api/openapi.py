"""As much OpenAPI as ``kubectl`` asks for: which verbs know ``fieldValidation``, and the schemas of custom kinds.

With the first, ``kubectl`` leaves validation to the server. For a ``List`` it insists on version 2, and skips what is
not defined there; the server then validates each item. With the second, ``kubectl explain`` explains custom kinds.
Leaves out definitions and descriptions of the kinds of the table, of which ``explain`` has nothing to say.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from comparisons.lab.api import answers, catalogue, discovery, kinds, status

Value = dict[str, Any]


def answer(served: catalogue.Catalogue, path: list[str], request: web.Request) -> web.Response:
    """``/openapi/v3`` and the documents below it; raises Refused (404)."""
    match path:
        case ["v3"]:
            return answers.respond({"paths": _index(served)})
        case ["v3", "api", "v1"]:
            return answers.respond(document(served, "", "v1"))
        case ["v3", "apis", group, version] if version in served.groups().get(group, ()):
            return answers.respond(document(served, group, version))
        case ["v2"]:
            return _version_2(request.headers.get("Accept", ""))
        case _:
            raise status.no_such_path()


PROTOBUF_2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def _version_2(accept: str) -> web.Response:
    """Return a document that defines nothing."""
    if PROTOBUF_2 not in accept:
        return answers.respond({"swagger": "2.0", "info": _INFO, "paths": {}, "definitions": {}})
    info = _text(1, _INFO["title"]) + _text(2, _INFO["version"])
    body = _text(1, "2.0") + bytes([2 << 3 | 2, len(info)]) + info
    return web.Response(body=body, headers={"Content-Type": PROTOBUF_2.replace("@", ".")})  # Go refuses its own "@"


def _text(number: int, text: str) -> bytes:
    """Return a protobuf field with a short text."""
    return bytes([number << 3 | 2, len(text)]) + text.encode()


_INFO = {"title": "Kubernetes", "version": discovery.VERSION["gitVersion"]}


def _index(served: catalogue.Catalogue) -> Value:
    named = [(group, version) for group, versions in served.groups().items() for version in versions]
    roots = {"api/v1": ("", "v1")} | {f"apis/{group}/{version}": (group, version) for group, version in named}
    return {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={_hash(served, *of)}"} for root, of in roots.items()}


def _hash(served: catalogue.Catalogue, group: str, version: str) -> str:
    return hashlib.sha256(msgspec.json.encode(document(served, group, version))).hexdigest()[:32]


def document(served: catalogue.Catalogue, group: str, version: str) -> Value:
    """One group's document at one version."""
    paths: Value = {}
    schemas: Value = {}
    for kind in served.of(group, version):
        paths |= _paths(kind)
        if kind.custom is not None:
            schemas |= {META: _META_SCHEMA, _name(kind): _schema(kind, kind.custom.schema)}
    return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}}


META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_META_SCHEMA: Value = {
    "description": "ObjectMeta is metadata that all persisted resources must have.",
    "type": "object",
    "properties": {
        "name": {"description": "Name must be unique within a namespace.", "type": "string"},
        "namespace": {
            "description": "Namespace defines the space within which each name must be unique.",
            "type": "string",
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_TYPE_FIELDS: Mapping[str, Value] = {
    "apiVersion": {"description": "APIVersion defines the versioned schema of this object.", "type": "string"},
    "kind": {"description": "Kind is the REST resource this object represents.", "type": "string"},
}


def _name(kind: kinds.Kind) -> str:
    """``io.ipseity.v1alpha1.AuthorizationPolicy``: the group's domain backwards, as the real server names it."""
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _schema(kind: kinds.Kind, schema: Mapping[str, Any]) -> Value:
    meta = {"allOf": [{"$ref": f"#/components/schemas/{META}"}], "description": "Standard object's metadata."}
    properties = {**_TYPE_FIELDS, **(schema.get("properties") or {}), "metadata": meta}
    return {**schema, "properties": properties, "x-kubernetes-group-version-kind": [_group_version_kind(kind)]}


def _group_version_kind(kind: kinds.Kind) -> Value:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _paths(kind: kinds.Kind) -> Value:
    collection = (
        f"{kind.root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.root}/{kind.plural}"
    )
    return {
        collection: {verb: _operation(kind, verb) for verb in ("get", "post")},
        collection + "/{name}": {verb: _operation(kind, verb) for verb in ("get", "put", "patch")},
    }


def _operation(kind: kinds.Kind, verb: str) -> Value:
    names = ("dryRun", "fieldManager", "fieldValidation", *(("force",) if verb == "patch" else ()))
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]
    return {
        "parameters": parameters if verb != "get" else [],
        "responses": {},
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": _group_version_kind(kind),
    }
