"""``/scale``: the replicas of a Deployment or ReplicaSet, without the rest of it."""

from typing import Any

from aiohttp import web

from comparisons.lab.api import answers, asking, decoding, kinds, patching, registry, resources, status

Value = dict[str, Any]


async def handle(objects: registry.Registry, request: web.Request, target: asking.Target) -> web.Response:
    """GET, PUT and PATCH of a Scale; raises Refused."""
    key = (target.namespace, target.name)
    owner = objects.get(target.kind, key)
    if request.method == "GET":
        return answers.respond(scale(target.kind, owner))
    wanted = await _wanted(request, scale(target.kind, owner))
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        cause = status.bad("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("autoscaling", "Scale", target.name, [cause])
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    metadata = {**owner["metadata"], "resourceVersion": version or owner["metadata"]["resourceVersion"]}
    new = {**owner, "metadata": metadata, "spec": {**owner["spec"], "replicas": replicas}}
    return answers.respond(scale(target.kind, objects.update(target.kind, key, new, resources.write(request, "scale"))))


async def _wanted(request: web.Request, found: Value) -> Value:
    if request.method == "PUT":
        said = await resources.body(request)
    else:
        said = patching.patched(patching.patch_type(request.content_type), "V1Scale", found, await request.read())
    return decoding.shaped(said, "V1Scale", "Scale", "autoscaling/v1", asking.field_validation(request.query)).value


def scale(kind: kinds.Kind, owner: Value) -> Value:
    """Return the Scale of an object."""
    meta = {key: owner["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    _ = kind
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": owner["spec"].get("replicas", 0)},
        "status": {"replicas": (owner.get("status") or {}).get("replicas", 0), "selector": selector},
    }
