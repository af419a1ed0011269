"""What an object may contain: field names, types, and how lists merge; from ``shapes.json`` and the tables below.

``shapes.json`` is written by ``tests/contract/kubernetes_api/shapes_source.py`` from the official client's models.
The models do not say how lists merge, so that is written here, from the ``patchMergeKey`` and ``listMapKey`` tags of
k8s.io/api. The shape of a custom kind is its schema's own text (``of_schema``). Leaves out values: what is possible
within a type is ``validation``'s.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

LIST, MAP = "[]", "{}"
SCHEMA = '{"'
"""How the shape of a custom kind begins."""

_PODLIKE = ("name",)
KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    ("V1ObjectMeta", "ownerReferences"): ("uid",),
    ("V1PodSpec", "containers"): _PODLIKE,
    ("V1PodSpec", "initContainers"): _PODLIKE,
    ("V1PodSpec", "ephemeralContainers"): _PODLIKE,
    ("V1PodSpec", "volumes"): _PODLIKE,
    ("V1PodSpec", "imagePullSecrets"): _PODLIKE,
    ("V1PodSpec", "schedulingGates"): _PODLIKE,
    ("V1PodSpec", "resourceClaims"): _PODLIKE,
    ("V1PodSpec", "hostAliases"): ("ip",),
    ("V1PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("V1Container", "env"): _PODLIKE,
    ("V1Container", "ports"): ("containerPort", "protocol"),
    ("V1Container", "volumeMounts"): ("mountPath",),
    ("V1Container", "volumeDevices"): ("devicePath",),
    ("V1EphemeralContainer", "env"): _PODLIKE,
    ("V1EphemeralContainer", "ports"): ("containerPort", "protocol"),
    ("V1EphemeralContainer", "volumeMounts"): ("mountPath",),
    ("V1EphemeralContainer", "volumeDevices"): ("devicePath",),
    ("V1ResourceRequirements", "claims"): _PODLIKE,
    ("V1PodStatus", "conditions"): ("type",),
    ("V1PodStatus", "podIPs"): ("ip",),
    ("V1PodStatus", "hostIPs"): ("ip",),
    ("V1PodStatus", "resourceClaimStatuses"): _PODLIKE,
    ("V1ContainerStatus", "volumeMounts"): ("mountPath",),
    ("V1ContainerStatus", "allocatedResourcesStatus"): _PODLIKE,
    ("V1ServiceSpec", "ports"): ("port", "protocol"),
    ("V1ServiceStatus", "conditions"): ("type",),
    ("V1ServiceAccount", "secrets"): _PODLIKE,
    ("V1NodeStatus", "conditions"): ("type",),
    ("V1NodeStatus", "addresses"): ("type",),
    ("V1NamespaceStatus", "conditions"): ("type",),
    ("V1DeploymentStatus", "conditions"): ("type",),
    ("V1ReplicaSetStatus", "conditions"): ("type",),
    ("V1DaemonSetStatus", "conditions"): ("type",),
    ("V1StatefulSetStatus", "conditions"): ("type",),
    ("V1PersistentVolumeClaimStatus", "conditions"): ("type",),
    ("V1JobStatus", "conditions"): ("type",),
    ("V1PodDisruptionBudgetStatus", "conditions"): ("type",),
    ("V1MutatingWebhookConfiguration", "webhooks"): _PODLIKE,
    ("V1ValidatingWebhookConfiguration", "webhooks"): _PODLIKE,
    ("V1MutatingWebhook", "matchConditions"): _PODLIKE,
    ("V1ValidatingWebhook", "matchConditions"): _PODLIKE,
    ("V1CustomResourceDefinitionStatus", "conditions"): ("type",),
}
"""(type, field) -> the fields that name an item of that list. The first is strategic merge patch's key."""

SETS = {("V1ObjectMeta", "finalizers"), ("V1NodeSpec", "podCIDRs"), ("V1Endpoint", "addresses")}
"""Lists of scalars that merge as sets."""

PATCH_ONLY = {("V1PodStatus", "hostIPs"), ("V1JobStatus", "conditions")}
"""Lists that merge by key in a strategic patch and have one owner as a whole all the same."""

RETAIN_KEYS = {
    *(("V1PodSpec", "volumes"), ("V1PodSpec", "resourceClaims"), ("V1PodStatus", "resourceClaimStatuses")),
    ("V1DeploymentSpec", "strategy"),
}
"""Where a strategic merge patch says with ``$retainKeys`` which fields may stay."""

ATOMIC = {
    *("V1LabelSelector", "V1NodeSelector", "V1NodeSelectorTerm", "V1ObjectReference", "V1ObjectFieldSelector"),
    *("V1ConfigMapKeySelector", "V1SecretKeySelector", "V1LocalObjectReference", "V1ResourceFieldSelector"),
    *("V1OwnerReference", "V1TypedLocalObjectReference"),
}
"""Types that have one owner as a whole (``structType=atomic``)."""

ATOMIC_MAPS = {("V1PodSpec", "nodeSelector"), ("V1ServiceSpec", "selector")}

QUANTITIES = {
    *(("V1ResourceRequirements", "limits"), ("V1ResourceRequirements", "requests"), ("V1PodSpec", "overhead")),
    *(("V1NodeStatus", "capacity"), ("V1NodeStatus", "allocatable"), ("V1ContainerStatus", "allocatedResources")),
    *(("V1EmptyDirVolumeSource", "sizeLimit"), ("V1ResourceFieldSelector", "divisor")),
}
"""Strings that may also be written as numbers (``cpu: 1``)."""


POINTERS = {("V1CustomResourceSubresources", "status")}
"""Objects without fields whose presence says something: the models have maps there, of which empty ones are dropped."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a type."""

    name: str
    kind: str
    """The type as written: ``string``, ``[]V1Container``, ``{}string``..."""
    required: bool
    keys: tuple[str, ...]
    """What names an item, if this is a list of named items."""
    is_set: bool
    atomic: bool
    """Whether it has one owner as a whole."""
    quantity: bool
    retain_keys: bool

    @property
    def item(self) -> str:
        """The type of an item of this list or map."""
        return self.kind[2:]


@functools.cache
def _source() -> dict[str, dict[str, str]]:
    loaded: dict[str, dict[str, str]] = json.loads(pathlib.Path(__file__).with_name("shapes.json").read_text())
    return loaded


@functools.lru_cache(maxsize=8192)
def fields(shape: str) -> dict[str, Field]:
    """Return the fields of a type; empty for a scalar or free-form value."""
    if shape.startswith(SCHEMA):
        schema = json.loads(shape)
        return {name: _of_property(name, below, schema) for name, below in (schema.get("properties") or {}).items()}
    return {name.rstrip("!"): _field(shape, name, kind) for name, kind in _source().get(shape, {}).items()}


def _field(shape: str, marked: str, kind: str) -> Field:
    name = marked.rstrip("!")
    place = (shape, name)
    keys, is_set = KEYS.get(place, ()), place in SETS
    loose_list = kind.startswith(LIST) and not keys and not is_set
    return Field(
        name=name,
        kind="any" if place in POINTERS else kind,
        required=marked.endswith("!"),
        keys=keys,
        is_set=is_set,
        atomic=loose_list or place in PATCH_ONLY or place in ATOMIC_MAPS or kind in ATOMIC,
        quantity=place in QUANTITIES,
        retain_keys=place in RETAIN_KEYS,
    )


def field(shape: str, name: str) -> Field | None:
    """Return one field of a type; None for one that it does not have."""
    found = fields(shape).get(name)
    return entry(OPEN) if found is None and shape.startswith(SCHEMA) and _is_open(shape) else found


@functools.lru_cache(maxsize=1024)
def entry(kind: str) -> Field:
    """Return what an entry of a map, or an item of a list, of that type is."""
    loose_list = kind.startswith(LIST)
    return Field(
        name="",
        kind=kind,
        required=False,
        keys=(),
        is_set=False,
        atomic=loose_list or kind in ATOMIC,
        quantity=False,
        retain_keys=False,
    )


def is_struct(shape: str) -> bool:
    """Whether the type has named fields."""
    return shape.startswith(SCHEMA) or shape in _source()


PRESERVE = "x-kubernetes-preserve-unknown-fields"
OPEN = json.dumps({PRESERVE: True})
"""The shape of a value of which nothing is known: objects are taken apart, lists are not."""
_UNSHAPED = frozenset({"description", "title", "default", "example", "externalDocs", "x-kubernetes-validations"})
"""What makes no difference to the fields: left out, so that the text is short."""


def of_schema(schema: Mapping[str, Any]) -> str:
    """Return the shape of a custom kind: metadata is as everywhere, the rest as its structural schema says."""
    return json.dumps({**_lean(schema), "x-root": True}, sort_keys=True)


def _lean(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_lean(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in _UNSHAPED}
    named = {name: _lean(below) for name, below in (kept.pop("properties", None) or {}).items()}
    return {key: _lean(value) for key, value in kept.items()} | ({"properties": named} if named else {})


@functools.lru_cache(maxsize=1024)
def _is_open(shape: str) -> bool:
    return bool(json.loads(shape).get(PRESERVE))


def _of_property(name: str, schema: Mapping[str, Any], parent: Mapping[str, Any]) -> Field:
    if name == "metadata" and (parent.get("x-root") or parent.get("x-kubernetes-embedded-resource")):
        return dataclasses.replace(entry("V1ObjectMeta"), name=name)
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    list_type = schema.get("x-kubernetes-list-type", "atomic")
    is_list = schema.get("type") == "array"
    return Field(
        name=name,
        kind=_kind_of(schema),
        required=False,
        keys=keys if is_list and list_type == "map" else (),
        is_set=is_list and list_type == "set",
        atomic=(is_list and list_type == "atomic") or schema.get("x-kubernetes-map-type") == "atomic",
        quantity=False,
        retain_keys=False,
    )


def _kind_of(schema: Mapping[str, Any]) -> str:
    """Return a schema as a type: a list, a map, a struct (its own text), or anything."""
    if schema.get("type") == "array":
        return LIST + _kind_of(schema.get("items") or {})
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return MAP + _kind_of(more)
    if schema.get("properties") or schema.get(PRESERVE) or more:
        return json.dumps({**schema, PRESERVE: bool(schema.get(PRESERVE) or more)}, sort_keys=True)
    return "any"
