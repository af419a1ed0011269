"""``/scale``: the replicas of an object, without the rest of it; where they are a custom kind's definition says."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from comparisons.lab.api import (
    answers,
    asking,
    attributes,
    decoding,
    jsonpaths,
    kinds,
    patching,
    registry,
    resources,
    status,
)

Value = dict[str, Any]


async def handle(objects: registry.Registry, request: web.Request, target: asking.Target) -> web.Response:
    """GET, PUT and PATCH of a Scale; raises Refused."""
    if request.method == "GET":
        return answers.respond(scale(target.kind, objects.get(target.kind, (target.namespace, target.name))))
    await request.read()  # all of it, before anything is looked at
    return await resources.unmoved(lambda: _change(objects, request, target))


async def _change(objects: registry.Registry, request: web.Request, target: asking.Target) -> web.Response:
    key, who = (target.namespace, target.name), resources.write(request, "scale")
    owner = objects.get(target.kind, key)
    present = scale(target.kind, owner)
    stated = {
        **await _wanted(request, target.kind, present),
        "apiVersion": present["apiVersion"],
        "kind": present["kind"],
    }
    wanted = await objects.admit(attributes.subresource(target.kind, key, stated, who, present))
    objects.check_unmoved(target.kind, key, owner)
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        cause = status.bad("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("autoscaling", "Scale", target.name, [cause])
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    metadata = {**owner["metadata"], "resourceVersion": version or owner["metadata"]["resourceVersion"]}
    place = _parts(_places(target.kind)["specReplicasPath"])
    new = _with({**owner, "metadata": metadata}, place, replicas)
    done = await objects.update(target.kind, key, new, who)
    return answers.respond(scale(target.kind, done))


async def _wanted(request: web.Request, kind: kinds.Kind, found: Value) -> Value:
    if request.method == "PUT":
        said = await resources.body(request)
    else:
        form = patching.patch_type(request.content_type, kind)
        said = patching.patched(form, "V1Scale", found, await request.read())
    return decoding.shaped(said, "V1Scale", "Scale", "autoscaling/v1", asking.field_validation(request.query)).value


def scale(kind: kinds.Kind, owner: Value) -> Value:
    """Return the Scale of an object."""
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    meta = {key: owner["metadata"][key] for key in shown if key in owner["metadata"]}
    places = _places(kind)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": _number(owner, places["specReplicasPath"])},
        "status": {"replicas": _number(owner, places["statusReplicasPath"]), "selector": _selector(owner, places)},
    }


_BUILT_IN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _places(kind: kinds.Kind) -> Mapping[str, str]:
    return (kind.custom.scale or _BUILT_IN) if kind.custom is not None else _BUILT_IN


def _number(owner: Value, path: str) -> int:
    found = jsonpaths.parse(path).first(owner)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _selector(owner: Value, places: Mapping[str, str]) -> str:
    """Return the selector of the scaled pods as text; custom kinds have it as such."""
    if places is not _BUILT_IN:
        found = jsonpaths.parse(places["labelSelectorPath"]).first(owner) if places.get("labelSelectorPath") else ""
        return found if isinstance(found, str) else ""
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _parts(path: str) -> list[str]:
    return path.strip(".").split(".")


def _with(value: Value, path: Sequence[str], replicas: int) -> Value:
    name, *rest = path
    below = value.get(name)
    return {**value, name: _with(below if isinstance(below, dict) else {}, rest, replicas) if rest else replicas}
