"""Says in EndpointSlices which pods stand behind a Service, and which of them are ready."""

from collections.abc import Sequence
from typing import Any

from comparisons.lab.api import kinds, names
from comparisons.lab.controllers import cache, pods, writer

Value = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
MOST = 1000
"""Endpoints of a slice: the API's limit. A lab's Service has fewer; what comes on top is left out."""


def slices(service: Value, found: Sequence[Value]) -> list[Value]:
    """Return the slices that a Service should have: one for each address family and set of ports. Pure."""
    spec = service["spec"]
    made = []
    for family in spec.get("ipFamilies") or ["IPv4"]:
        by_ports: dict[tuple[tuple[Any, ...], ...], list[Value]] = {}
        for pod in sorted(found, key=lambda each: each["metadata"]["name"]):
            addresses = [ip for ip in _ips(pod) if (":" in ip) == (family == "IPv6")]
            if addresses and pods.phase(pod) not in pods.TERMINAL:
                endpoint = _endpoint(service, pod, addresses[:1])
                by_ports.setdefault(_ports(service, pod), []).append(endpoint)
        groups = by_ports or {(): []}
        made += [_slice(service, family, ports, endpoints) for ports, endpoints in groups.items()]
    return made


def _ips(pod: Value) -> list[str]:
    return [each["ip"] for each in (pod.get("status") or {}).get("podIPs") or ()]


def _endpoint(service: Value, pod: Value, addresses: list[str]) -> Value:
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    serving, terminating = pods.ready(pod), pods.deleting(pod)
    meta = pod["metadata"]
    target = {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    conditions = {"ready": always or (serving and not terminating), "serving": serving, "terminating": terminating}
    found = {
        "addresses": addresses,
        "conditions": conditions,
        "hostname": pod["spec"].get("hostname")
        if pod["spec"].get("subdomain") == service["metadata"]["name"]
        else None,
        "targetRef": target,
        "nodeName": pod["spec"].get("nodeName"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _ports(service: Value, pod: Value) -> tuple[tuple[Any, ...], ...]:
    """(name, protocol, number) of each port, as this pod has them; a named port that it lacks is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _number(pod, port)
        if number is not None:
            found.append((port.get("name", ""), port.get("protocol", "TCP"), number, port.get("appProtocol")))
    return tuple(found)


def _number(pod: Value, port: Value) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    declared = (each for container in containers for each in container.get("ports") or ())
    protocol = port.get("protocol", "TCP")
    return next(
        (
            each["containerPort"]
            for each in declared
            if each.get("name") == target and each.get("protocol", "TCP") == protocol
        ),
        None,
    )


def _slice(service: Value, family: str, ports: tuple[tuple[Any, ...], ...], endpoints: list[Value]) -> Value:
    meta = service["metadata"]
    labels = {**(meta.get("labels") or {}), SERVICE_NAME: meta["name"], MANAGED_BY: MANAGER}
    labels |= {HEADLESS: ""} if service["spec"].get("clusterIP") == "None" else {}
    reference = {"apiVersion": "v1", "kind": "Service", "name": meta["name"], "uid": meta["uid"]}
    rows = [dict(zip(("name", "protocol", "port", "appProtocol"), port, strict=True)) for port in ports]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta['name'][: names.LABEL_LENGTH - 10]}-",
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
        },
        "addressType": family,
        "endpoints": endpoints[:MOST],
        "ports": [{key: value for key, value in row.items() if value is not None} for row in rows],
    }


class Endpoints:
    """The EndpointSlice controller."""

    name = "endpointslice-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer) -> None:
        self._known = known
        self._out = out

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the Service itself, that of a slice, and those that select a pod."""
        _ = gone
        if kind is kinds.SERVICE:
            return [cache.key_of(value)]
        if kind is kinds.ENDPOINT_SLICE and _ours(value):
            return [(value["metadata"]["namespace"], value["metadata"]["labels"].get(SERVICE_NAME, ""))]
        if kind is kinds.POD:
            found = self._known.all(kinds.SERVICE, value["metadata"]["namespace"])
            return [cache.key_of(service) for service in found if _selects(service, value)]
        return []

    async def reconcile(self, key: cache.Key) -> None:
        """Create, change and delete slices until they are what they should be."""
        service = self._known.get(kinds.SERVICE, key)
        if service is None or pods.deleting(service) or not service["spec"].get("selector"):
            return
        found = [pod for pod in self._known.all(kinds.POD, key[0]) if _selects(service, pod)]
        wanted = slices(service, found)
        spare = [each for each in self._known.owned(service["metadata"]["uid"], kinds.ENDPOINT_SLICE) if _ours(each)]
        for each in wanted:
            await self._make(each, _take(spare, each))
        for left in spare:
            await self._out.delete(kinds.ENDPOINT_SLICE, left)

    async def _make(self, wanted: Value, present: Value | None) -> None:
        if present is None:
            await self._out.create(kinds.ENDPOINT_SLICE, wanted)
        elif any((present.get(part) or []) != wanted[part] for part in ("endpoints", "ports")):
            change = {"endpoints": wanted["endpoints"], "ports": wanted["ports"]}
            await self._out.patch(kinds.ENDPOINT_SLICE, present, change)


def _take(spare: list[Value], wanted: Value) -> Value | None:
    """Take the slice that is nearest to the wanted one from the spare ones: the same ports, else the same family."""
    family = [each for each in spare if each["addressType"] == wanted["addressType"]]
    same = [each for each in family if (each.get("ports") or []) == wanted["ports"]]
    best = next(iter(same or family), None)
    if best is not None:
        spare.remove(best)
    return best


def _ours(found: Value) -> bool:
    return (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def _selects(service: Value, pod: Value) -> bool:
    wanted, labels = service["spec"].get("selector") or {}, pod["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
