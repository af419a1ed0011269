"""Taking a sidecar out of a pod or a pod template: exactly what injection put there.

Here because a user who leaves the mesh must get back what they wrote. Works on the object itself, in place. A list or
mapping that injection had to make, and that is empty afterwards, goes too.
"""

from typing import Any

from injector import names
from injector.sidecar import spec
from injector.webhook import patch

Value = dict[str, Any]


def remove(template: Value) -> bool:
    """Take it out; False if there was none. The template is well-formed (``pod.convert``)."""
    containers = _listed(template["spec"], "containers") + _listed(template["spec"], "initContainers")
    if not any(container.get("name") in (names.PROXY, names.REDIRECT) for container in containers):
        return False
    for place, ours in (
        ("containers", (names.PROXY, names.REDIRECT)),
        ("initContainers", (names.PROXY, names.REDIRECT)),
        ("volumes", spec.VOLUMES),
    ):
        _drop_named(template["spec"], place, ours)
    metadata = template.get("metadata") or {}
    _drop_annotations(metadata)
    _drop_keys(metadata, "labels", {names.MESHED})
    if not metadata:
        template.pop("metadata", None)
    return True


def _listed(owner: Value, key: str) -> list[Value]:
    return owner.get(key) or []


def _drop_named(pod_spec: Value, place: str, ours: tuple[str, ...]) -> None:
    before = _listed(pod_spec, place)
    after = [item for item in before if item.get("name") not in ours]
    if after:
        pod_spec[place] = after
    elif before:
        del pod_spec[place]


def _drop_annotations(metadata: Value) -> None:
    annotations = metadata.get("annotations") or {}
    volumes = [name for name in annotations.get(patch.EVICTABLE, "").split(",") if name != spec.WORKLOAD_VOLUME]
    if any(volumes):
        annotations[patch.EVICTABLE] = ",".join(volumes)
        gone = set()
    else:
        gone = {patch.EVICTABLE}
    added = set(filter(None, annotations.get(names.ADDED, "").split(",")))
    _drop_keys(metadata, "annotations", gone | added | {names.INJECTED, names.ADDED})


def _drop_keys(metadata: Value, place: str, gone: set[str]) -> None:
    before = metadata.get(place) or {}
    after = {key: value for key, value in before.items() if key not in gone}
    if after:
        metadata[place] = after
    elif before:
        del metadata[place]
