"""The environment variables, command and arguments of a container, exactly as the kubelet would make them.

Here because programs find each other, their own name and their configuration this way. Pure: ConfigMaps and Secrets
are an argument (``Sources``); what must be fetched for a pod is the answer of ``references``.
"""

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from comparisons.lab import errors, quantities

Json = dict[str, Any]
_REFERENCE = re.compile(r"\$\$|\$\(([^)$]+)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
CONFIG_ERROR = "CreateContainerConfigError"
"""The kubelet's waiting reason for a container whose configuration cannot be made."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a pod's variables and volumes are filled from, as it was when it was read."""

    pod: Json
    node_name: str
    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]
    capacity: Mapping[str, str]
    """The node's, for limits that a container does not set."""
    configmaps: Mapping[str, Json]
    secrets: Mapping[str, Json]
    tokens: Mapping[tuple[str, int], str] = dataclasses.field(default_factory=dict)
    """ServiceAccount tokens by (audience, lifetime in seconds)."""


def references(pod: Json) -> set[tuple[str, str]]:
    """Tell what must be read before the pod's containers and volumes can be made: ("configmaps" or "secrets", name)."""
    found = volume_references(pod)
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            found |= _named(source, configMapKeyRef="configmaps", secretKeyRef="secrets")
        for source in container.get("envFrom") or ():
            found |= _named(source, configMapRef="configmaps", secretRef="secrets")
    return found


def volume_references(pod: Json) -> set[tuple[str, str]]:
    """Tell which objects the pod's volumes follow, as ``references`` does."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or ():
        if "secret" in volume:
            found.add(("secrets", volume["secret"]["secretName"]))
        found |= _named(volume, configMap="configmaps")
        for source in (volume.get("projected") or {}).get("sources") or ():
            found |= _named(source, configMap="configmaps", secret="secrets")  # noqa: S106  # a kind of object
    return found


def _named(source: Json, **kinds: str) -> set[tuple[str, str]]:
    return {(kind, source[key]["name"]) for key, kind in kinds.items() if source.get(key)}


def variables(container: Json, sources: Sources, services: Mapping[str, str]) -> dict[str, str]:
    """Every variable of a container. Later ones win: services, then ``envFrom``, then ``env`` in its order."""
    found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    found |= {"HOSTNAME": hostname(sources.pod), "HOME": "/root"} | dict(services)
    for source in container.get("envFrom") or ():
        found |= _all_of(source, sources)
    for variable in container.get("env") or ():
        value = _value(variable, container, sources, found)
        if value is not None:
            found[variable["name"]] = value
    return found


def _value(variable: Json, container: Json, sources: Sources, found: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", found)
    if "fieldRef" in source:
        return field(source["fieldRef"]["fieldPath"], sources)
    if "resourceFieldRef" in source:
        return resource(source["resourceFieldRef"], container, sources)
    if "configMapKeyRef" in source:
        return _key_of(source["configMapKeyRef"], "ConfigMap", sources.configmaps)
    if "secretKeyRef" in source:
        return _key_of(source["secretKeyRef"], "Secret", sources.secrets)
    raise errors.PodRefused(f"variable {variable['name']}: no such source: {', '.join(source)}", reason=CONFIG_ERROR)


def _key_of(reference: Json, kind: str, objects: Mapping[str, Json]) -> str | None:
    name, key = reference["name"], reference["key"]
    data = contents(objects[name]) if name in objects else {}
    if key in data:
        return data[key].decode(errors="replace")
    if reference.get("optional"):
        return None
    missing = f"has no key {key!r}" if name in objects else "does not exist"
    raise errors.PodRefused(f"{kind} {name!r} {missing}", reason=CONFIG_ERROR)


def _all_of(source: Json, sources: Sources) -> dict[str, str]:
    pairs = (("configMapRef", "ConfigMap", sources.configmaps), ("secretRef", "Secret", sources.secrets))
    for key, kind, objects in pairs:
        reference = source.get(key)
        if reference and reference["name"] in objects:
            data = contents(objects[reference["name"]])
            return {
                f"{source.get('prefix') or ''}{name}": value.decode(errors="replace") for name, value in data.items()
            }
        if reference and not reference.get("optional"):
            raise errors.PodRefused(f"{kind} {reference['name']!r} does not exist", reason=CONFIG_ERROR)
    return {}


def contents(thing: Json) -> dict[str, bytes]:
    """Return the keys and values of a ConfigMap or Secret."""
    found = {key: text.encode() for key, text in (thing.get("data") or {}).items()}
    encoded = dict(thing.get("binaryData") or {})
    if thing.get("kind") == "Secret" or "type" in thing:
        encoded, found = thing.get("data") or {}, {}
    try:
        return found | {key: base64.b64decode(text, validate=True) for key, text in encoded.items()}
    except binascii.Error as error:
        name = thing["metadata"]["name"]
        raise errors.PodRefused(f"{name!r} holds a value that is not base64: {error}", reason=CONFIG_ERROR) from error


def field(path: str, sources: Sources) -> str:
    """One field of the pod, by the paths of the downward API."""
    subscript = _SUBSCRIPT.fullmatch(path)
    metadata = sources.pod["metadata"]
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    if path in _FIELDS:
        return _FIELDS[path](sources)
    raise errors.PodRefused(f"field path {path!r} is not supported", reason=CONFIG_ERROR)


def _quoted_lines(pairs: Mapping[str, str] | None) -> str:
    escaped = (
        (key, text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, text in (pairs or {}).items()
    )
    return "\n".join(f'{key}="{text}"' for key, text in sorted(escaped))


_FIELDS: dict[str, Callable[[Sources], str]] = {
    "metadata.name": lambda s: s.pod["metadata"]["name"],
    "metadata.namespace": lambda s: s.pod["metadata"]["namespace"],
    "metadata.uid": lambda s: s.pod["metadata"]["uid"],
    "metadata.labels": lambda s: _quoted_lines(s.pod["metadata"].get("labels")),
    "metadata.annotations": lambda s: _quoted_lines(s.pod["metadata"].get("annotations")),
    "spec.nodeName": lambda s: s.node_name,
    "spec.serviceAccountName": lambda s: s.pod["spec"].get("serviceAccountName") or "default",
    "status.hostIP": lambda s: s.host_ips[0],
    "status.hostIPs": lambda s: ",".join(s.host_ips),
    "status.podIP": lambda s: s.pod_ips[0],
    "status.podIPs": lambda s: ",".join(s.pod_ips),
}
"""https://kubernetes.io/docs/concepts/workloads/pods/downward-api/"""


def resource(reference: Json, container: Json, sources: Sources) -> str:
    """Return a request or limit in whole divisors, rounded up; the node's capacity where no limit is set."""
    name = reference.get("containerName")
    if name:
        spec = sources.pod["spec"]
        container = next(it for it in (*(spec.get("initContainers") or ()), *spec["containers"]) if it["name"] == name)
    part, _, kind = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(part) or {}).get(kind) or (sources.capacity.get(kind, "0") if part == "limits" else "0")
    divisor = reference.get("divisor")
    unit = quantities.parse(divisor if divisor not in (None, "", "0") else "1")
    number = quantities.parse(text) / unit
    return str(-(-number.numerator // number.denominator))


def expand(text: str, found: Mapping[str, str]) -> str:
    """Replace $(NAME) where NAME is known; $$ is a dollar sign; everything else stays as it is."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else found.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def arguments(container: Json, found: Mapping[str, str]) -> list[str]:
    """Tell what is executed. There is no image to say it, so a container without a command cannot start."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not container.get("command"):
        raise errors.PodRefused(
            f"container {container['name']!r} has no command, and the lab has no image to take one from",
            reason=CONFIG_ERROR,
            hint="images are ignored; set command",
        )
    return [expand(word, found) for word in words]


def hostname(pod: Json) -> str:
    """Tell what the pod calls itself."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def hostnames(pod: Json) -> list[str]:
    """Tell the names of a pod in its own /etc/hosts: with a subdomain, the one by which others find it comes first."""
    name, subdomain = hostname(pod), pod["spec"].get("subdomain")
    return [f"{name}.{subdomain}.{pod['metadata']['namespace']}.svc.cluster.local", name] if subdomain else [name]


def services(objects: Iterable[Json], namespace: str | None) -> dict[str, str]:
    """Return the variables by which a container finds the API server and the Services of a namespace, if any."""
    found: dict[str, str] = {}
    for service in objects:
        metadata, spec = service["metadata"], service["spec"]
        here = metadata["namespace"] == namespace or (metadata["namespace"], metadata["name"]) == (
            "default",
            "kubernetes",
        )
        if here and spec.get("clusterIP") not in (None, "", "None") and spec.get("ports"):
            found.update(_service(metadata["name"], spec))
    return found


def _service(name: str, spec: Json) -> Iterator[tuple[str, str]]:
    word, ip, first = name.upper().replace("-", "_"), spec["clusterIP"], spec["ports"][0]
    host = f"[{ip}]" if ":" in ip else ip
    yield f"{word}_SERVICE_HOST", ip
    yield f"{word}_SERVICE_PORT", str(first["port"])
    yield f"{word}_PORT", f"{(first.get('protocol') or 'TCP').lower()}://{host}:{first['port']}"
    for port in spec["ports"]:
        protocol = port.get("protocol") or "TCP"
        prefix = f"{word}_PORT_{port['port']}_{protocol}"
        if port.get("name"):
            yield f"{word}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", str(port["port"])
        yield prefix, f"{protocol.lower()}://{host}:{port['port']}"
        yield f"{prefix}_PROTO", protocol.lower()
        yield f"{prefix}_PORT", str(port["port"])
        yield f"{prefix}_ADDR", ip
