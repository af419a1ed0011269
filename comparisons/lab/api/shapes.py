"""What an object may contain: field names, types, and how lists merge; from ``shapes.json`` and the tables below.

``shapes.json`` is written by ``tests/contract/kubernetes_api/shapes_source.py`` from the official client's models.
The models do not say how lists merge, so that is written here, from the ``patchMergeKey`` and ``listMapKey`` tags of
k8s.io/api. Leaves out values: what is possible within a type is ``validation``'s.
"""

import dataclasses
import functools
import json
import pathlib

LIST, MAP = "[]", "{}"

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
    ("V1JobStatus", "conditions"): ("type",),
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


@functools.cache
def fields(shape: str) -> dict[str, Field]:
    """Return the fields of a type; empty for a scalar or free-form value."""
    return {name.rstrip("!"): _field(shape, name, kind) for name, kind in _source().get(shape, {}).items()}


def _field(shape: str, marked: str, kind: str) -> Field:
    name = marked.rstrip("!")
    place = (shape, name)
    keys, is_set = KEYS.get(place, ()), place in SETS
    loose_list = kind.startswith(LIST) and not keys and not is_set
    return Field(
        name=name,
        kind=kind,
        required=marked.endswith("!"),
        keys=keys,
        is_set=is_set,
        atomic=loose_list or place in PATCH_ONLY or place in ATOMIC_MAPS or kind in ATOMIC,
        quantity=place in QUANTITIES,
        retain_keys=place in RETAIN_KEYS,
    )


def is_struct(shape: str) -> bool:
    """Whether the type has named fields."""
    return shape in _source()
