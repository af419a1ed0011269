"""Kubernetes' objects as the API server sends them, small: pods, services, slices, namespaces."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]


def pod(
    name: str,
    address: str = "",
    *,
    namespace: str = "shop",
    account: str = "web",
    meshed: bool = True,
    annotations: Mapping[str, str] | None = None,
    spec: Json | None = None,
    phase: str = "Running",
    ports: Mapping[str, int] | None = None,
) -> Json:
    """Give a pod; its uid is made of its name."""
    listed = [{"name": key, "containerPort": port, "protocol": "TCP"} for key, port in (ports or {}).items()]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "labels": {"app": account, **({"ipseity.io/meshed": "true"} if meshed else {})},
            "annotations": dict(annotations or {}),
        },
        "spec": {
            "serviceAccountName": account,
            "nodeName": "node",
            "containers": [{"name": "app", "ports": listed}],
            **(spec or {}),
        },
        "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}] if address else []},
    }


def skipping(ports: str) -> Json:
    """Give the part of a pod's spec that says which ports its redirect leaves out."""
    said = [{"name": "IPSEITY_SKIP_INBOUND_PORTS", "value": ports}]
    return {"initContainers": [{"name": "ipseity-redirect", "env": said}]}


def service(name: str, address: str = "10.96.0.1", *, namespace: str = "shop", ports: Sequence[Json] = ()) -> Json:
    """Give a Service; without ports it has one, 80 to 8080."""
    listed = [dict(each) for each in ports] or [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ports": listed,
        },
    }


def endpoint(address: str, pod: str = "", *, namespace: str = "shop", **conditions: bool) -> Json:
    """Give one endpoint of a slice, ready unless said otherwise."""
    target = {"kind": "Pod", "name": pod, "namespace": namespace, "uid": f"uid-{pod}"}
    said = {"ready": True, "serving": True, "terminating": False, **conditions}
    return {"addresses": [address], "conditions": said, **({"targetRef": target} if pod else {})}


def endpoint_slice(
    service: str,
    endpoints: Sequence[Json],
    *,
    name: str = "",
    namespace: str = "shop",
    ports: Mapping[str, int] | None = None,
    family: str = "IPv4",
) -> Json:
    """Give an EndpointSlice of a Service."""
    listed = [{"name": key, "port": port, "protocol": "TCP"} for key, port in (ports or {"": 8080}).items()]
    return {
        "metadata": {
            "name": name or f"{service}-1",
            "namespace": namespace,
            "uid": f"uid-{service}-{name}",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": listed,
    }


def namespace(name: str, annotations: Mapping[str, str] | None = None) -> Json:
    """Give a Namespace."""
    return {"metadata": {"name": name, "uid": f"uid-{name}", "annotations": dict(annotations or {})}}
