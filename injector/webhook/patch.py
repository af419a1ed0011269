"""What injection changes in a pod: a JSON patch (RFC 6902) as a value.

Here because the webhook sends it and ``ipseity inject`` applies it, byte for byte the same. Only ``add`` occurs, and
nothing that the author wrote is changed but one list in an annotation. Leaves out what the containers are
(``sidecar.spec``) and the way back (``removal``).

Native sidecar: redirect, then proxy, then the author's own init containers, which thus have the mesh. Classic: no proxy
runs before the containers start, so redirect comes last, and the author's init containers speak without the mesh.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from injector import annotations, names
from injector.sidecar import spec
from injector.webhook import decide
from injector.webhook import pod as pods

Operation = dict[str, Any]

EVICTABLE: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
"""Without it a volume in memory keeps the cluster autoscaler from emptying a node. What is lost is made anew."""
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""Whom ``kubectl logs`` and ``exec`` mean where nobody is named; else it would be the first one, the proxy."""


def make(pod: pods.Pod, decision: decide.Inject, installation: spec.Installation) -> list[Operation]:
    """Make the patch for a pod that has no sidecar."""
    return [
        *_metadata(pod, decision, installation),
        *_append("/spec/volumes", pod.spec.volumes, spec.volumes(installation)),
        *_containers(pod, decision.config, installation),
    ]


def apply(value: dict[str, Any], operations: list[Operation]) -> None:
    """Carry out a patch of ``make``, in place: ``add`` into mappings and lists that are there."""
    for operation in operations:
        *path, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
        place: Any = value
        for part in path:
            place = place[part]
        if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), operation["value"])
        else:
            place[last] = operation["value"]


def encode(operations: list[Operation]) -> bytes:
    """Write it as JSON."""
    return msgspec.json.encode(operations)


def _metadata(pod: pods.Pod, decision: decide.Inject, installation: spec.Installation) -> list[Operation]:
    metadata = pod.metadata or pods.Metadata()
    added = dict(decision.inherited)
    first = next(iter(pod.spec.containers or ()), None)
    if not decision.config.native and first and DEFAULT_CONTAINER not in pod.annotations:
        added[DEFAULT_CONTAINER] = first.name
    said = {
        names.INJECTED: installation.version,
        **({names.ADDED: ",".join(sorted(added))} if added or names.ADDED in pod.annotations else {}),
        EVICTABLE: ",".join(filter(None, [pod.annotations.get(EVICTABLE), spec.WORKLOAD_VOLUME])),
        **added,
    }
    labels = {names.MESHED: "true"}
    if pod.metadata is None:
        return [add("/metadata", {"annotations": said, "labels": labels})]
    return [
        *_entries("/metadata/annotations", metadata.annotations, said),
        *_entries("/metadata/labels", metadata.labels, labels),
    ]


def _containers(pod: pods.Pod, config: annotations.ProxyConfig, installation: spec.Installation) -> list[Operation]:
    redirect, proxy = spec.redirect(config, installation, pod.probed_ports()), spec.proxy(config, installation)
    if config.native:
        return _insert("/spec/initContainers", pod.spec.init_containers, [redirect, proxy])
    return [
        *_append("/spec/initContainers", pod.spec.init_containers, [redirect]),
        *_insert("/spec/containers", pod.spec.containers, [proxy]),
    ]


def _entries(path: str, existing: Mapping[str, str] | None, added: Mapping[str, str]) -> list[Operation]:
    if existing is None:
        return [add(path, dict(added))]
    return [add(f"{path}/{escaped(key)}", value) for key, value in added.items()]


def _append(path: str, existing: list[Any] | None, added: list[Any]) -> list[Operation]:
    return [add(path, added)] if existing is None else [add(f"{path}/-", item) for item in added]


def _insert(path: str, existing: list[Any] | None, added: list[Any]) -> list[Operation]:
    if existing is None:
        return [add(path, added)]
    return [add(f"{path}/{place}", item) for place, item in enumerate(added)]


def add(path: str, value: object) -> Operation:
    """Make one operation."""
    return {"op": "add", "path": path, "value": value}


def escaped(key: str) -> str:
    """Write a key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
