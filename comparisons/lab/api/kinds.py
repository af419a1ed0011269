"""The table of kinds: what discovery lists and what a path may name.

Short names and categories are those of the real server, since people type them. ``shape`` is the type in
``shapes.json``. Leaves out what a kind *does*: ``behaviour`` has that.
"""

import dataclasses
import functools
from collections.abc import Mapping

SCALE = ("autoscaling", "v1", "Scale")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object, at the one version that is served and stored."""

    group: str
    version: str
    kind: str
    plural: str
    shape: str
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    generation: bool = False
    """Whether ``metadata.generation`` counts the changes of the spec."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object, where others answer with a Status."""

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``deployments.apps``: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """``/apis/apps/v1`` or ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def singular(self) -> str:
        """``deployment``."""
        return self.kind.lower()


def _core(kind: str, plural: str, **more: object) -> Kind:
    return Kind(**{"group": "", "version": "v1", "kind": kind, "plural": plural, "shape": f"V1{kind}"} | more)  # type: ignore[arg-type]  # a row of the table below


def _group(group: str, kind: str, plural: str, **more: object) -> Kind:
    return _core(kind, plural, **({"group": group} | more))


_ALL = ("all",)
_WORKLOAD = {"categories": _ALL, "generation": True}

NAMESPACE = _core("Namespace", "namespaces", short=("ns",), namespaced=False, subresources=("status", "finalize"))
NODE = _core("Node", "nodes", short=("no",), namespaced=False, subresources=("status",))
POD = _core(
    "Pod",
    "pods",
    short=("po",),
    subresources=("status", "log", "binding", "eviction", "ephemeralcontainers"),
    returns_deleted=True,
    **_WORKLOAD,
)
SERVICE = _core("Service", "services", short=("svc",), subresources=("status",), categories=_ALL, returns_deleted=True)
SERVICE_ACCOUNT = _core(
    "ServiceAccount", "serviceaccounts", short=("sa",), subresources=("token",), returns_deleted=True
)
CONFIG_MAP = _core("ConfigMap", "configmaps", short=("cm",))
SECRET = _core("Secret", "secrets")
EVENT = _core("Event", "events", short=("ev",), shape="CoreV1Event")
ENDPOINT_SLICE = _group("discovery.k8s.io", "EndpointSlice", "endpointslices", generation=True)
DEPLOYMENT = _group(
    "apps", "Deployment", "deployments", short=("deploy",), subresources=("status", "scale"), **_WORKLOAD
)
REPLICA_SET = _group("apps", "ReplicaSet", "replicasets", short=("rs",), subresources=("status", "scale"), **_WORKLOAD)
DAEMON_SET = _group("apps", "DaemonSet", "daemonsets", short=("ds",), subresources=("status",), **_WORKLOAD)
JOB = _group("batch", "Job", "jobs", subresources=("status",), **_WORKLOAD)
LEASE = _group("coordination.k8s.io", "Lease", "leases")
TOKEN_REQUEST = _group("authentication.k8s.io", "TokenRequest", "", shape="AuthenticationV1TokenRequest")
TOKEN_REVIEW = _group("authentication.k8s.io", "TokenReview", "tokenreviews", namespaced=False)
SELF_SUBJECT_REVIEW = _group("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", namespaced=False)

CORE = (NAMESPACE, NODE, POD, SERVICE, SERVICE_ACCOUNT, CONFIG_MAP, SECRET, EVENT)
GROUPED = (ENDPOINT_SLICE, DEPLOYMENT, REPLICA_SET, DAEMON_SET, JOB, LEASE)
ALL = CORE + GROUPED
ASKED = (TOKEN_REVIEW, SELF_SUBJECT_REVIEW)
"""Kinds that are created, answered and never kept: no list, no watch."""


@functools.cache
def by_path() -> Mapping[tuple[str, str, str], Kind]:
    """(group, version, plural) -> kind."""
    return {(kind.group, kind.version, kind.plural): kind for kind in ALL}


@functools.cache
def by_name() -> Mapping[tuple[str, str], Kind]:
    """(apiVersion, kind) as an object states them -> kind."""
    return {(kind.api_version, kind.kind): kind for kind in ALL}
