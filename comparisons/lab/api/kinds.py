"""The table of kinds: what discovery lists and what a path may name.

Short names and categories are those of the real server, since people type them. ``shape`` is the type in
``shapes.json``. Kinds that a CustomResourceDefinition adds are made by ``definitions`` and kept by ``catalogue``.
Leaves out what a kind *does*: ``registry`` and the modules it asks.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

SCALE = ("autoscaling", "v1", "Scale")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Custom:
    """What a CustomResourceDefinition says of one of its versions. Compared by identity: a changed one is another."""

    schema: Mapping[str, Any]
    """``openAPIV3Schema``, structural."""
    storage: str
    """The version that is stored."""
    singular: str
    list_kind: str
    columns: tuple[Mapping[str, Any], ...] = ()
    """``additionalPrinterColumns``."""
    selectable: tuple[str, ...] = ()
    """Fields for field selectors beside the name and namespace: ``spec.color``."""
    scale: Mapping[str, str] | None = None
    """``subresources.scale``: where replicas and the selector are."""
    deprecation: str = ""
    """What whoever uses this version is warned of."""
    terminating: bool = False
    """Whether the definition is on its way out: nothing more is created."""


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
    custom: Custom | None = None
    """What its CustomResourceDefinition says; None for a kind of the table below."""
    view_of: str = ""
    """The resource that it shows under other names, and whose objects it has."""

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``deployments.apps``: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def shelf(self) -> str:
        """Where its objects are stored: one place for all versions of a kind, and for all views of its objects."""
        return self.view_of or self.resource

    @property
    def root(self) -> str:
        """``/apis/apps/v1`` or ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def singular(self) -> str:
        """``deployment``."""
        return self.custom.singular if self.custom is not None else self.kind.lower()

    @property
    def list_kind(self) -> str:
        """``DeploymentList``."""
        return self.custom.list_kind if self.custom is not None else f"{self.kind}List"


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
    subresources=("status", "log", "binding", "eviction", "ephemeralcontainers", "proxy"),
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
EVENT_VIEW = _group("events.k8s.io", "Event", "events", short=("ev",), shape="EventsV1Event", view_of="events")
ENDPOINT_SLICE = _group("discovery.k8s.io", "EndpointSlice", "endpointslices", generation=True)
DEPLOYMENT = _group(
    "apps", "Deployment", "deployments", short=("deploy",), subresources=("status", "scale"), **_WORKLOAD
)
REPLICA_SET = _group("apps", "ReplicaSet", "replicasets", short=("rs",), subresources=("status", "scale"), **_WORKLOAD)
DAEMON_SET = _group("apps", "DaemonSet", "daemonsets", short=("ds",), subresources=("status",), **_WORKLOAD)
STATEFUL_SET = _group(
    "apps", "StatefulSet", "statefulsets", short=("sts",), subresources=("status", "scale"), **_WORKLOAD
)
JOB = _group("batch", "Job", "jobs", subresources=("status",), **_WORKLOAD)
NETWORK_POLICY = _group("networking.k8s.io", "NetworkPolicy", "networkpolicies", short=("netpol",), generation=True)
DISRUPTION_BUDGET = _group(
    "policy", "PodDisruptionBudget", "poddisruptionbudgets", short=("pdb",), subresources=("status",), generation=True
)
"""Kept and shown, and nothing else: no eviction is refused (docs/limitations.md)."""
LEASE = _group("coordination.k8s.io", "Lease", "leases")
TOKEN_REQUEST = _group("authentication.k8s.io", "TokenRequest", "", shape="AuthenticationV1TokenRequest")
TOKEN_REVIEW = _group("authentication.k8s.io", "TokenReview", "tokenreviews", namespaced=False)
SELF_SUBJECT_REVIEW = _group("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", namespaced=False)
SELF_SUBJECT_ACCESS_REVIEW = _group(
    "authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
CUSTOM_RESOURCE_DEFINITION = _group(
    "apiextensions.k8s.io",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    short=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    generation=True,
)
MUTATING_WEBHOOK_CONFIGURATION = _group(
    "admissionregistration.k8s.io",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    generation=True,
)
VALIDATING_WEBHOOK_CONFIGURATION = _group(
    "admissionregistration.k8s.io",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    generation=True,
)

CORE = (NAMESPACE, NODE, POD, SERVICE, SERVICE_ACCOUNT, CONFIG_MAP, SECRET, EVENT)
_RBAC = "rbac.authorization.k8s.io"
ROLES = (
    _group(_RBAC, "ClusterRole", "clusterroles", namespaced=False),
    _group(_RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _group(_RBAC, "Role", "roles"),
    _group(_RBAC, "RoleBinding", "rolebindings"),
)
"""Kept and shown; they bind where the server was started with RBAC (``authorizing``)."""
GROUPED = (
    *ROLES,
    ENDPOINT_SLICE,
    DEPLOYMENT,
    REPLICA_SET,
    DAEMON_SET,
    STATEFUL_SET,
    JOB,
    LEASE,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    EVENT_VIEW,
    CUSTOM_RESOURCE_DEFINITION,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_WEBHOOK_CONFIGURATION,
)
ALL = CORE + GROUPED
ASKED = (TOKEN_REVIEW, SELF_SUBJECT_REVIEW, SELF_SUBJECT_ACCESS_REVIEW)
"""Kinds that are created, answered and never kept: no list, no watch."""


@functools.cache
def by_path() -> Mapping[tuple[str, str, str], Kind]:
    """(group, version, plural) -> kind."""
    return {(kind.group, kind.version, kind.plural): kind for kind in ALL}


@functools.cache
def by_name() -> Mapping[tuple[str, str], Kind]:
    """(apiVersion, kind) as an object states them -> kind."""
    return {(kind.api_version, kind.kind): kind for kind in ALL}
