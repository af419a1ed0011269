"""What a person writes for one end of a connection: pods, a workload, a Service with its port, an account, an identity.

Here because ``shop/db:5432`` is what stands in an error message, and who is meant by it must be told before anything
can be explained. Leaves out the verdict (``explain``).
"""

import dataclasses
from collections.abc import Iterable
from typing import Final

from injector import errors
from injector.cluster import model as cluster
from ipseity import identity

Source = cluster.Pod | identity.SpiffeId
_ACCOUNT_KINDS: Final = frozenset({"", "sa", "serviceaccount"})


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A pod and the port on it."""

    pod: cluster.Pod
    port: int


def sources(state: cluster.ClusterState, text: str, namespace: str) -> tuple[Source, ...]:
    """Find who ``text`` is: ``[NAMESPACE/]NAME`` of a pod, workload or service account, or a SPIFFE ID.

    Several pods that would be judged alike are one. Raises errors.CannotTell.
    """
    if text.startswith("spiffe://"):
        return (_spiffe_id(text),)
    namespace, kind, name = _split(text, namespace)
    pods = _pods(state, namespace, kind, name)
    if pods:
        return tuple({(pod.account, pod.meshed, pod.outbound): pod for pod in pods}.values())
    running = _running_as(state, namespace, kind, name)
    if running:
        return (cluster.account_id(state.trust_domain, running[0].account),)
    raise _unknown("pod, workload or service account", text, _named(state, namespace))


def targets(state: cluster.ClusterState, text: str, namespace: str) -> tuple[Target, ...]:
    """Find whom ``text`` calls: ``[NAMESPACE/]NAME[:PORT]`` of a pod, workload, Service or service account.

    A port is a number or a name, of the Service where a Service is meant; without it, every port that is declared.
    Raises errors.CannotTell.
    """
    name, _, port = text.partition(":")
    namespace, kind, name = _split(name, namespace)
    service = None if kind else state.services.get(f"{namespace}/{name}")
    if service is not None and service.ports and (not port or _service_ports(service, port)):
        return _behind(state, service, port)
    pods = _pods(state, namespace, kind, name) or _running_as(state, namespace, kind, name)
    if not pods:
        raise _unknown("pod, workload, Service or service account", text, _named(state, namespace))
    found = [Target(pod, number) for pod in pods for number in _pod_ports(pod, port)]
    if not found:
        raise errors.CannotTell(
            f"{namespace}/{name} declares no port{f' {port!r}' if port else ''}",
            hint=f"give a number: {namespace}/{name}:8080",
        )
    return tuple(found)


def _split(text: str, namespace: str) -> tuple[str, str, str]:
    """Take apart ``[namespace/][kind/]name``."""
    match text.split("/"):
        case [name]:
            parts = (namespace, "", name)
        case [namespace, name]:
            parts = (namespace, "", name)
        case [namespace, kind, name]:
            parts = (namespace, kind, name)
        case _:
            parts = ("", "", "")
    try:
        identity.ServiceAccount(parts[0], parts[2])
    except identity.InvalidIdentity as error:
        raise errors.CannotTell(
            f"{text!r} is no name of anything in Kubernetes", hint="write NAMESPACE/NAME, such as shop/db"
        ) from error
    return parts


def _spiffe_id(text: str) -> identity.SpiffeId:
    try:
        return identity.SpiffeId.parse(text)
    except identity.InvalidIdentity as error:
        raise errors.CannotTell(str(error), hint="such as spiffe://cluster.local/ns/shop/sa/web") from error


def _pods(state: cluster.ClusterState, namespace: str, kind: str, name: str) -> list[cluster.Pod]:
    """Find pods by their own name, else by that of their workload."""
    there = [pod for pod in _sorted(state.pods.values()) if pod.ref.namespace == namespace]
    exact = [pod for pod in there if pod.ref.name == name and kind in {"", "pod"}]
    if exact:
        return exact
    full = f"{kind.lower()}/{name}"
    return [pod for pod in there if (pod.workload == full if kind else pod.workload.rpartition("/")[2] == name)]


def _running_as(state: cluster.ClusterState, namespace: str, kind: str, name: str) -> list[cluster.Pod]:
    """Find pods by their service account."""
    if kind.lower() not in _ACCOUNT_KINDS:
        return []
    account = identity.ServiceAccount(namespace, name)
    return [pod for pod in _sorted(state.pods.values()) if pod.account == account]


def _sorted(pods: Iterable[cluster.Pod]) -> list[cluster.Pod]:
    return sorted(pods, key=lambda pod: (pod.ref.namespace, pod.ref.name))


def _pod_ports(pod: cluster.Pod, port: str) -> list[int]:
    if _is_port(port):
        return [int(port)]
    return sorted({each.port for each in pod.ports if each.protocol == "TCP" and (not port or each.name == port)})


def _service_ports(service: cluster.Service, port: str) -> list[cluster.ServicePort]:
    return [each for each in service.ports if not port or port in {each.name, str(each.port)}]


def _behind(state: cluster.ClusterState, service: cluster.Service, port: str) -> tuple[Target, ...]:
    found = {
        (endpoint.pod, endpoint.port): Target(pod, endpoint.port)
        for each in _service_ports(service, port)
        for endpoint in service.endpoints.get(each.name, ())
        if endpoint.pod is not None and (pod := state.pods.get(endpoint.pod)) is not None
    }
    if not found:
        raise errors.CannotTell(
            f"Service {service.key} has no ready endpoint that is a pod", hint="name a pod or a workload instead"
        )
    return tuple(sorted(found.values(), key=lambda each: (each.pod.ref.name, each.port)))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535


def _named(state: cluster.ClusterState, namespace: str) -> list[str]:
    """Name what there is, for a hint."""
    pods = [pod for pod in state.pods.values() if pod.ref.namespace == namespace]
    return sorted({pod.workload.rpartition("/")[2] or pod.ref.name for pod in pods})


def _unknown(kinds: str, text: str, there: list[str]) -> errors.CannotTell:
    shown = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
    return errors.CannotTell(
        f"there is no {kinds} {text!r}", hint=f"there are: {shown}" if there else "is the namespace right?"
    )
