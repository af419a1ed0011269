"""Whether a pod's spec is possible: containers, their names, ports, variables, mounts and policies.

Apart from ``validation`` because pods and five kinds of template share it. Rules:
k8s.io/kubernetes/pkg/apis/core/validation.
"""

from collections.abc import Iterator
from typing import Any

from comparisons.lab.api import names, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

PROTOCOLS = ("SCTP", "TCP", "UDP")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
MAX_PORT = 65535


def spec(pod: Value, path: str) -> Causes:
    """Return the causes that make this pod spec impossible."""
    yield from _one_of(pod.get("restartPolicy", "Always"), RESTART_POLICIES, f"{path}.restartPolicy")
    yield from _one_of(pod.get("dnsPolicy", "ClusterFirst"), DNS_POLICIES, f"{path}.dnsPolicy")
    yield from _account(pod, path)
    volumes = pod.get("volumes") or []
    yield from _names(volumes, f"{path}.volumes", set())
    yield from _containers(pod, path, {volume.get("name", "") for volume in volumes})
    if pod.get("terminationGracePeriodSeconds", 0) < 0:
        grace = pod["terminationGracePeriodSeconds"]
        yield status.bad(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")


def _account(pod: Value, path: str) -> Causes:
    account = pod.get("serviceAccountName")
    if account and (why := names.subdomain(account)):
        yield status.bad(f"{path}.serviceAccountName", account, why)


def _containers(pod: Value, path: str, volumes: set[str]) -> Causes:
    if not pod.get("containers"):
        yield status.required(f"{path}.containers")
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        containers = pod.get(group) or []
        yield from _names(containers, f"{path}.{group}", seen)
        for index, container in enumerate(containers):
            yield from _container(container, f"{path}.{group}[{index}]", volumes)


def _names(items: list[Value], path: str, seen: set[str]) -> Causes:
    for index, item in enumerate(items):
        name = item.get("name", "")
        if not name:
            yield status.required(f"{path}[{index}].name")
        elif why := names.label(name):
            yield status.bad(f"{path}[{index}].name", name, why)
        elif name in seen:
            yield status.duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def _container(container: Value, path: str, volumes: set[str]) -> Causes:
    if not container.get("image", "").strip():
        yield status.required(f"{path}.image")
    yield from _one_of(container.get("imagePullPolicy", "Always"), PULL_POLICIES, f"{path}.imagePullPolicy")
    for index, port in enumerate(container.get("ports") or []):
        yield from port_number(port.get("containerPort", 0), f"{path}.ports[{index}].containerPort")
        yield from protocol(port.get("protocol", "TCP"), f"{path}.ports[{index}].protocol")
    for index, variable in enumerate(container.get("env") or []):
        yield from _variable(variable, f"{path}.env[{index}]")
    yield from _mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            yield from _probe(container[probe], f"{path}.{probe}")


def _variable(variable: Value, path: str) -> Causes:
    if not variable.get("name"):
        yield status.required(f"{path}.name")
    if variable.get("value") and variable.get("valueFrom"):
        yield status.bad(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")


def _mounts(mounts: list[Value], path: str, volumes: set[str]) -> Causes:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        if mount.get("name", "") not in volumes:
            yield status.absent(f"{path}[{index}].name", mount.get("name", ""))
        if mount.get("mountPath") in seen:
            yield status.bad(f"{path}[{index}].mountPath", mount["mountPath"], "must be unique")
        seen.add(mount.get("mountPath", ""))


HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")


def _probe(probe: Value, path: str) -> Causes:
    said = [handler for handler in HANDLERS if handler in probe]
    if not said:
        yield status.required(path, "must specify a handler type")
    elif len(said) > 1:
        yield status.forbidden_field(f"{path}.{said[1]}", "may not specify more than 1 handler type")


def port_number(number: int, path: str) -> Causes:
    """Check a port: from 1 to 65535."""
    if not 0 < number <= MAX_PORT:
        yield status.bad(path, number, f"must be between 1 and {MAX_PORT}, inclusive")


def protocol(name: str, path: str) -> Causes:
    """TCP, UDP or SCTP."""
    yield from _one_of(name, PROTOCOLS, path)


def _one_of(value: str, supported: tuple[str, ...], path: str) -> Causes:
    if value not in supported:
        yield status.unsupported(path, value, supported)
