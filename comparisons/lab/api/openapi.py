"""As much OpenAPI as ``kubectl`` asks for before it sends an object: which verbs know ``fieldValidation``.

With it, ``kubectl`` leaves validation to the server. For a ``List`` it insists on version 2, and skips what is not
defined there; the server then validates each item. Leaves out definitions and descriptions, so ``kubectl explain``
has nothing to say.
"""

import functools
import hashlib
from typing import Any

import msgspec
from aiohttp import web

from comparisons.lab.api import answers, discovery, kinds, status

Value = dict[str, Any]


def answer(path: list[str], request: web.Request) -> web.Response:
    """``/openapi/v3`` and the documents below it; raises Refused (404)."""
    match path:
        case ["v3"]:
            return answers.respond({"paths": _index()})
        case ["v3", "api", "v1"]:
            return answers.respond(document(""))
        case ["v3", "apis", group, "v1"] if group in discovery.groups():
            return answers.respond(document(group))
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


def _index() -> Value:
    roots = {"": "api/v1"} | {group: f"apis/{group}/v1" for group in discovery.groups()}
    return {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={_hash(group)}"} for group, root in roots.items()}


def _hash(group: str) -> str:
    return hashlib.sha256(msgspec.json.encode(document(group))).hexdigest()[:32]


@functools.cache
def document(group: str) -> Value:
    """One group's document."""
    paths: Value = {}
    for kind in (each for each in kinds.ALL if each.group == group):
        paths |= _paths(kind)
    return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": {}}}


def _paths(kind: kinds.Kind) -> Value:
    collection = (
        f"{kind.root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.root}/{kind.plural}"
    )
    return {
        collection: {"post": _operation(kind, "post")},
        collection + "/{name}": {verb: _operation(kind, verb) for verb in ("put", "patch")},
    }


def _operation(kind: kinds.Kind, verb: str) -> Value:
    names = ("dryRun", "fieldManager", "fieldValidation", *(("force",) if verb == "patch" else ()))
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]
    said = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {
        "parameters": parameters,
        "responses": {},
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": said,
    }
