"""Whether a pod gets a sidecar: the whole table, as one pure function.

    pod says      namespace says   result
    enabled       anything         inject
    disabled      anything         skip injection_disable_annotation_present
    other value   anything         skip invalid_inject_annotation_at_workload
    nothing       enabled          inject
    nothing       disabled, none   skip injection_enable_annotation_absent
    nothing       other value      skip invalid_inject_annotation_at_namespace

Here because it is what users argue about. A skip lets the pod in as it is, says why by an Event, a metric, and, where
somebody had asked for a sidecar, a warning that kubectl prints: a pod without one is refused by whoever asks for an
identity, so nothing opens by it. A refusal keeps the pod out: where what was asked for cannot be had, a pod that runs
and is not what its author wrote would be worse. Leaves out how the pod is changed: ``patch``.
"""

import dataclasses
import enum
import re
from collections.abc import Iterator, Mapping
from typing import Final

from injector import annotations, errors, names
from injector.sidecar import spec
from injector.webhook import pod as pods

EXEMPT: Final = ("kube-system", "kube-public", "kube-node-lease", names.SYSTEM_NAMESPACE)
"""Namespaces where nothing is ever injected: the mesh must not stand between a cluster and its own repair."""
ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
_MIRROR: Final = "kubernetes.io/config.mirror"
_OS_LABELS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")
_STRANGERS: Final = frozenset(
    {
        "istio-proxy",
        "istio-init",
        "istio-validation",
        "linkerd-proxy",
        "linkerd-init",
        "linkerd-network-validator",
        "kuma-sidecar",
        "kuma-init",
        "kuma-validation",
        "consul-dataplane",
        "consul-connect-inject-init",
    }
)
_STRANGE_IMAGE: Final = re.compile(
    r"(?:^|/)(?:istio/(?:proxyv2|ztunnel)|istio-release/proxyv2|linkerd(?:-io)?/proxy(?:-init)?|"
    r"(?:kumahq|kong)/kuma-(?:dp|init)|hashicorp/consul-dataplane)(?:[:@]|$)"
)
_POWERS: Final = frozenset({"ALL", "NET_ADMIN", "CAP_NET_ADMIN", "SYS_ADMIN", "CAP_SYS_ADMIN"})


class Reason(enum.StrEnum):
    """Why a pod was let in as it is: an Event and a metric's label."""

    UNSUPPORTED_RESOURCE = "unsupported_resource"
    EXEMPT_NAMESPACE = "exempt_namespace"
    ENABLE_ABSENT = "injection_enable_annotation_absent"
    DISABLE_PRESENT = "injection_disable_annotation_present"
    INVALID_AT_WORKLOAD = "invalid_inject_annotation_at_workload"
    INVALID_AT_NAMESPACE = "invalid_inject_annotation_at_ns"
    ALREADY_INJECTED = "already_injected"
    SIDECAR_EXISTS = "sidecar_already_exists"
    HOST_NETWORK = "host_network_enabled"
    WINDOWS = "windows"
    MIRROR_POD = "mirror_pod"


SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.UNSUPPORTED_RESOURCE: "only pods are injected, when they are created",
    Reason.EXEMPT_NAMESPACE: f"pods of {', '.join(EXEMPT)} are never injected",
    Reason.ENABLE_ABSENT: f"neither the pod nor its namespace has the annotation {names.INJECT}: {ENABLED}",
    Reason.DISABLE_PRESENT: f"the pod has the annotation {names.INJECT}: {DISABLED}",
    Reason.INVALID_AT_WORKLOAD: f"the pod's annotation {names.INJECT} is neither {ENABLED} nor {DISABLED}",
    Reason.INVALID_AT_NAMESPACE: f"the namespace's annotation {names.INJECT} is neither {ENABLED} nor {DISABLED}",
    Reason.ALREADY_INJECTED: "the pod has been injected already",
    Reason.SIDECAR_EXISTS: "the pod has the sidecar of a mesh already",
    Reason.HOST_NETWORK: "the pod uses the host's network, which a sidecar would redirect for the whole node",
    Reason.WINDOWS: "the sidecar runs on Linux only",
    Reason.MIRROR_POD: "the pod runs from a file on its node, whatever the API server says",
}
_EXPECTED: Final = {Reason.DISABLE_PRESENT, Reason.ENABLE_ABSENT, Reason.ALREADY_INJECTED, Reason.EXEMPT_NAMESPACE}
"""Nobody is surprised that these are not injected: no warning."""


class Refusal(enum.StrEnum):
    """Why a pod was kept out: a metric's label."""

    INVALID_ANNOTATION = "invalid_annotation"
    PROXY_UID_TAKEN = "proxy_uid_taken"
    PROXY_PORT_TAKEN = "proxy_port_taken"
    VOLUME_NAME_TAKEN = "volume_name_taken"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inject:
    """Give it a sidecar."""

    config: annotations.ProxyConfig
    inherited: Mapping[str, str]
    """Annotations of the namespace that shape the pod, and are therefore copied onto it."""
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Let it in as it is."""

    reason: Reason
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Keep it out."""

    refusal: Refusal
    message: str


Decision = Inject | Skip | Deny


def decide(pod: pods.Pod, namespace: str, said: Mapping[str, str]) -> Decision:
    """Decide on a pod of a namespace; ``said`` is the annotations of the namespace."""
    reason = _not_asked(pod, namespace, said) or _cannot(pod)
    if reason:
        return _skip(reason)
    try:
        config = annotations.parse(pod.annotations, said)
    except errors.InvalidAnnotation as error:
        return Deny(refusal=Refusal.INVALID_ANNOTATION, message=str(error))
    refused = _conflict(pod, config)
    if refused:
        return refused
    if is_injected(pod):
        return _skip(Reason.ALREADY_INJECTED)
    inherited = annotations.fixed(said, pod.annotations)
    return Inject(config=config, inherited=inherited, warnings=tuple(_warnings(pod, config)))


def is_injected(pod: pods.Pod) -> bool:
    """Tell whether the pod has our sidecar, whole."""
    ours = {container.name for container in pod.containers()}
    return names.INJECTED in pod.annotations and ours >= {names.PROXY, names.REDIRECT}


def _skip(reason: Reason) -> Skip:
    surprise = reason not in _EXPECTED
    return Skip(reason=reason, warnings=(f"ipseity: not injected: {SENTENCES[reason]}",) if surprise else ())


def _not_asked(pod: pods.Pod, namespace: str, said: Mapping[str, str]) -> Reason | None:
    if namespace in EXEMPT:
        return Reason.EXEMPT_NAMESPACE
    match pod.annotations.get(names.INJECT), said.get(names.INJECT):
        case ("enabled", _) | (None, "enabled"):
            return None
        case ("disabled", _):
            return Reason.DISABLE_PRESENT
        case (None, None | "disabled"):
            return Reason.ENABLE_ABSENT
        case (None, _):
            return Reason.INVALID_AT_NAMESPACE
        case _:
            return Reason.INVALID_AT_WORKLOAD


def _cannot(pod: pods.Pod) -> Reason | None:
    if _MIRROR in pod.annotations:
        return Reason.MIRROR_POD
    if pod.spec.host_network:
        return Reason.HOST_NETWORK
    selector = pod.spec.node_selector or {}
    if "windows" in {pod.spec.os and pod.spec.os.name, *(selector.get(label) for label in _OS_LABELS)}:
        return Reason.WINDOWS
    if any(_is_a_sidecar(container, ours=is_injected(pod)) for container in pod.containers()):
        return Reason.SIDECAR_EXISTS
    return None


def _is_a_sidecar(container: pods.Container, *, ours: bool) -> bool:
    if container.name in (names.PROXY, names.REDIRECT):
        return not ours
    return container.name in _STRANGERS or _STRANGE_IMAGE.search(container.image or "") is not None


def _conflict(pod: pods.Pod, config: annotations.ProxyConfig) -> Deny | None:
    """Find what cannot be together with our containers."""
    for container in _applications(pod):
        taken = sorted(set(spec.PORTS) & {port.container_port for port in container.ports or ()})
        if taken:
            message = f"container {container.name!r} declares port {taken[0]}, which the proxy needs in every pod"
            return Deny(refusal=Refusal.PROXY_PORT_TAKEN, message=message)
    for container in _applications(pod) if config.native else pod.spec.containers or ():
        if container.name != names.PROXY and _user(pod, container) == config.uid:
            return Deny(refusal=Refusal.PROXY_UID_TAKEN, message=_same_user(container.name, config.uid))
    for volume in pod.spec.volumes or () if not is_injected(pod) else ():
        if volume.name in spec.VOLUMES:
            message = f"the pod has a volume {volume.name!r}, a name that the sidecar needs"
            return Deny(refusal=Refusal.VOLUME_NAME_TAKEN, message=message)
    return None


def _applications(pod: pods.Pod) -> Iterator[pods.Container]:
    return (container for container in pod.containers() if container.name not in (names.PROXY, names.REDIRECT))


def _user(pod: pods.Pod, container: pods.Container) -> int | None:
    """Give the user that is asked for; the image's own cannot be seen from here."""
    for context in (container.security_context, pod.spec.security_context):
        if context and context.run_as_user is not None:
            return context.run_as_user
    return None


def _same_user(container: str, uid: int) -> str:
    return (
        f"container {container!r} has runAsUser {uid}, which is the proxy's: its connections would bypass the mesh; "
        f"run it as another user, or the proxy: {names.CONFIG_PREFIX}proxy-uid"
    )


def _warnings(pod: pods.Pod, config: annotations.ProxyConfig) -> Iterator[str]:
    for container in _applications(pod):
        context = container.security_context or pods.Security()
        added = {power.upper() for power in (context.capabilities and context.capabilities.add) or ()}
        if context.privileged or added & _POWERS:
            yield f"ipseity: container {container.name[:63]!r} may change the pod's network, and so leave the mesh"
    if not config.native and pod.owner and pod.owner.kind == "Job":
        yield "ipseity: a Job with an ordinary container as its proxy never completes: leave it a native sidecar"
