"""Kubernetes' objects, trimmed to what the mesh reasons about. Pure: a dict in, a record out.

    informer.Informer(api, kube.PODS, trim=objects.pod, clock=...)

Here because this is where the API's JSON ends: what is behind is typed, small and shared. Raises ``Malformed`` for an
object that is not what the API promises, and the informer counts it. Leaves out what the records mean together:
``index``.
"""

import dataclasses
import ipaddress
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from injector import annotations, names
from injector.cluster import balancing, model, workloads
from ipseity import identity

Json = Mapping[str, Any]
T = TypeVar("T")

_TERMINAL: Final = frozenset({"Succeeded", "Failed"})
_MAX_PORT: Final = 65_535
_HTTPS: Final = "HTTPS"
_GRPC_HEALTH: Final = "/grpc.health.v1.Health/Check"
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_SHARED: Final = {f"{names.CONFIG_PREFIX}{key}" for key in ("inbound-policy", "outbound-policy", "opaque-ports")}
"""What acts on a pod that runs. The ports that its redirect leaves out do not: they stand in its spec, for good."""
_SKIPS: Final = "IPSEITY_SKIP_INBOUND_PORTS"


class Malformed(ValueError):  # noqa: N818  # it reads as what happened
    """An object that is not what the Kubernetes API promises; it is counted and passed over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceRecord:
    """A Namespace."""

    name: str
    annotations: Mapping[str, str]
    """Those of ``names.CONFIG_PREFIX``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """A pod that is not over, but for what its namespace says: ``of`` adds that."""

    pod: model.Pod
    annotations: Mapping[str, str]
    """Those of ``names.CONFIG_PREFIX``."""

    def of(self, namespace: Mapping[str, str]) -> model.Pod:
        """Give the pod as its annotations and its namespace's make it. Raises errors.InvalidAnnotation."""
        said = {key: value for key, value in self.annotations.items() if key in _SHARED}
        given = {key: value for key, value in namespace.items() if key in _SHARED}
        return configured(self.pod, annotations.of_running(said, given))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortRecord:
    """One TCP port of a Service."""

    name: str
    port: int
    target: int | str
    app_protocol: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """A Service without its endpoints."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    ports: tuple[PortRecord, ...]
    external_name: str
    headless: bool
    family: str
    """``IPv4`` or ``IPv6``: the first of its families. Endpoints of the other are the same pods once more."""
    uid: str = ""
    balance: balancing.Balancing = balancing.DEFAULT
    complaints: tuple[str, ...] = ()
    """What is wrong with its annotations."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One address of an EndpointSlice."""

    address: str
    pod: identity.PodRef | None
    """What the slice says (targetRef); who really has the address is known better."""
    draining: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """An EndpointSlice."""

    namespace: str
    name: str
    service: str
    """Name; empty for a slice that belongs to none."""
    family: str
    ports: tuple[tuple[str, int], ...]
    """Name of the service's port, and the number on the endpoints."""
    places: tuple[Place, ...]

    @property
    def key(self) -> str:
        """``namespace/service``."""
        return f"{self.namespace}/{self.service}"


Record = NamespaceRecord | PodRecord | ServiceRecord | SliceRecord


def configured(bare: model.Pod, config: annotations.ProxyConfig) -> model.Pod:
    """Give a pod the modes and ports that a configuration says."""
    return dataclasses.replace(
        bare,
        inbound=config.inbound,
        outbound=config.outbound,
        opaque_ports=config.opaque_ports,
    )


def namespace(item: Json) -> NamespaceRecord:
    """Trim a Namespace. Raises Malformed."""
    meta = _mapping(item, "metadata")
    return NamespaceRecord(name=sys.intern(_text(meta, "name")), annotations=_configuration(meta))


def pod(item: Json) -> PodRecord | None:
    """Trim a pod; None for one that is over: its address may be another's already. Raises Malformed."""
    meta, spec, status = (_mapping(item, key) for key in ("metadata", "spec", "status"))
    if status.get("phase") in _TERMINAL:
        return None
    where = sys.intern(_text(meta, "namespace"))
    labels = {_string(key): _string(value) for key, value in _mapping(meta, "labels").items()}
    containers = [*_sequence(spec, "initContainers"), *_sequence(spec, "containers")]
    ports = tuple(_container_ports(containers))
    owners = [owner for owner in _sequence(meta, "ownerReferences") if isinstance(owner, Mapping)]
    try:
        account = identity.ServiceAccount(where, sys.intern(spec.get("serviceAccountName") or "default"))
    except (identity.InvalidIdentity, TypeError) as error:
        raise Malformed(str(error)) from error
    bare = model.Pod(
        ref=identity.PodRef(where, _text(meta, "name"), _text(meta, "uid")),
        account=account,
        labels=labels,
        addresses=_pod_addresses(status),
        ports=ports,
        probes=tuple(sorted(set(_probes(containers)), key=lambda probe: (probe.port, probe.path, probe.secured))),
        meshed=labels.get(names.MESHED) == "true" and spec.get("hostNetwork") is not True,
        ready=any(each.get("type") == "Ready" and each.get("status") == "True" for each in _conditions(status)),
        host_network=spec.get("hostNetwork") is True,
        node=sys.intern(_string(spec.get("nodeName") or "")),
        workload=workloads.name(_text(meta, "name"), labels, owners, node=_string(spec.get("nodeName") or "")),
        skip_inbound_ports=_skipped(containers),
    )
    return PodRecord(pod=bare, annotations=_configuration(meta))


def service(item: Json) -> ServiceRecord:
    """Trim a Service. Raises Malformed."""
    meta, spec = _mapping(item, "metadata"), _mapping(item, "spec")
    cluster = [_string(each) for each in _sequence(spec, "clusterIPs") or [spec.get("clusterIP") or ""]]
    external = spec.get("type") == "ExternalName"
    headless = not external and "None" in cluster
    addresses = () if external or headless else tuple(_address(each) for each in cluster if each)
    families = [_string(each) for each in _sequence(spec, "ipFamilies")]
    family = families[0] if families else _family(addresses[0]) if addresses else "IPv4"
    balanced, complaints = balancing.read(_said(meta, names.BALANCER_PREFIX))
    return ServiceRecord(
        namespace=sys.intern(_text(meta, "namespace")),
        name=sys.intern(_text(meta, "name")),
        addresses=addresses,
        ports=tuple(_service_port(each) for each in _sequence(spec, "ports") if _is_tcp(each)),
        external_name=_string(spec.get("externalName") or "") if external else "",
        headless=headless,
        family=family,
        uid=_string(meta.get("uid") or ""),
        balance=balanced,
        complaints=complaints,
    )


def endpoint_slice(item: Json) -> SliceRecord:
    """Trim an EndpointSlice: what serves stays, also while it ends; what does not is left out. Raises Malformed."""
    meta = _mapping(item, "metadata")
    family = _string(item.get("addressType") or "")
    where = sys.intern(_text(meta, "namespace"))
    owner = _string(_mapping(meta, "labels").get("kubernetes.io/service-name") or "")
    ports = [each for each in _sequence(item, "ports") if _is_tcp(each) and each.get("port") is not None]
    readable = _sequence(item, "endpoints") if family in {"IPv4", "IPv6"} else []
    return SliceRecord(
        namespace=where,
        name=_text(meta, "name"),
        service=sys.intern(owner),
        family=family,
        ports=tuple((sys.intern(_string(each.get("name") or "")), _port(each["port"])) for each in ports),
        places=tuple(place for each in readable if (place := _place(each, where)) is not None),
    )


def _place(item: Any, where: str) -> Place | None:
    if not isinstance(item, Mapping):
        raise Malformed(f"endpoint {item!r} is no object")
    conditions, target = _mapping(item, "conditions"), _mapping(item, "targetRef")
    ready = conditions.get("ready") is not False  # absent: ready, as the API says
    serving = conditions["serving"] is True if isinstance(conditions.get("serving"), bool) else ready
    ending = conditions.get("terminating") is True
    addresses = _sequence(item, "addresses")
    if not addresses or not (ready or (serving and ending)):
        return None
    ref = None
    if target.get("kind") == "Pod" and target.get("name") and target.get("uid"):  # optional: slices written by hand
        ref = identity.PodRef(_string(target.get("namespace") or where), _text(target, "name"), _text(target, "uid"))
    return Place(address=_address(_string(addresses[0])), pod=ref, draining=not ready)


def _container_ports(containers: Iterable[Any]) -> Iterable[model.PodPort]:
    for container in containers:
        for each in _sequence(container, "ports") if isinstance(container, Mapping) else ():
            if isinstance(each, Mapping) and each.get("containerPort") is not None:
                name, protocol = _string(each.get("name") or ""), _string(each.get("protocol") or "TCP")
                yield model.PodPort(name=sys.intern(name), port=_port(each["containerPort"]), protocol=protocol)


def _skipped(containers: Iterable[Any]) -> frozenset[int]:
    """Give the ports that the pod's redirect was told to leave out.

    From its container and not from the annotation, which anybody who may patch the pod can change while it runs: its
    clients would speak plaintext from then on.
    """
    for container in containers:
        if isinstance(container, Mapping) and container.get("name") == names.REDIRECT:
            for each in _sequence(container, "env"):
                if isinstance(each, Mapping) and each.get("name") == _SKIPS:
                    return annotations.read_ports(_string(each.get("value") or ""))
    return frozenset()


def _probes(containers: Iterable[Any]) -> Iterable[model.HttpProbe]:
    """Find what the kubelet asks by HTTP, HTTPS or gRPC. By TCP it sends nothing: that is the redirect's."""
    for container in containers:
        if not isinstance(container, Mapping) or container.get("name") == names.PROXY:
            continue
        named = {each.name: each.port for each in _container_ports([container]) if each.name}
        for key in _PROBES:
            probe = _mapping(container, key)
            http, grpc = _mapping(probe, "httpGet"), _mapping(probe, "grpc")
            if http:
                number = named.get(http["port"]) if isinstance(http.get("port"), str) else http.get("port")
                secured = _string(http.get("scheme") or "").upper() == _HTTPS
                if number is not None:  # a name that no port has: the kubelet cannot probe it either
                    path = _path(_string(http.get("path") or "/"))
                    yield model.HttpProbe(port=_port(number), path=path, secured=secured)
            if grpc:
                yield model.HttpProbe(port=_port(grpc.get("port")), path=_GRPC_HEALTH)


def _path(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"  # as the kubelet does


def _service_port(item: Json) -> PortRecord:
    port = _port(item.get("port"))
    target = item.get("targetPort")
    if target is None or target in {0, ""}:
        target = port
    elif isinstance(target, str) and target.isdigit():
        target = int(target)
    name, protocol = _string(item.get("name") or ""), _string(item.get("appProtocol") or "")
    checked = sys.intern(target) if isinstance(target, str) else _port(target)
    return PortRecord(name=sys.intern(name), port=port, target=checked, app_protocol=protocol)


def _is_tcp(item: Any) -> bool:
    if not isinstance(item, Mapping):
        raise Malformed(f"port {item!r} is no object")
    return (item.get("protocol") or "TCP") == "TCP"


def _pod_addresses(status: Json) -> tuple[str, ...]:
    several = [each.get("ip") for each in _sequence(status, "podIPs") if isinstance(each, Mapping)]
    return tuple(dict.fromkeys(_address(_string(each)) for each in several or [status.get("podIP")] if each))


def _conditions(status: Json) -> Iterable[Json]:
    return (each for each in _sequence(status, "conditions") if isinstance(each, Mapping))


def _configuration(meta: Json) -> Mapping[str, str]:
    return _said(meta, names.CONFIG_PREFIX)


def _said(meta: Json, prefix: str) -> Mapping[str, str]:
    said = _mapping(meta, "annotations").items()
    return {_string(key): _string(value) for key, value in said if _string(key).startswith(prefix)}


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _address(text: str) -> str:
    try:
        return sys.intern(str(ipaddress.ip_address(text)))
    except ValueError as error:
        raise Malformed(f"{text!r} is no address") from error


def _port(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_PORT:
        raise Malformed(f"{value!r} is no port")
    return value


def _mapping(item: Json, key: str) -> Mapping[Any, Any]:
    return _of_kind(item.get(key), Mapping, {}, key)  # type: ignore[type-abstract]  # only isinstance sees it


def _sequence(item: Json, key: str) -> list[Any]:
    return _of_kind(item.get(key), list, [], key)


def _of_kind(value: Any, kind: type[T], missing: T, key: str) -> T:
    if value is None:
        return missing
    if not isinstance(value, kind):
        raise Malformed(f"{key}: {str(value)[:80]!r} is not what the API promises")
    return value


def _text(item: Json, key: str) -> str:
    found = _string(item.get(key))
    if not found:
        raise Malformed(f"{key} is empty")
    return found


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{str(value)[:80]!r} is no text")
    return value
