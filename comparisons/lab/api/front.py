"""The Service ``kubernetes`` in ``default``, by which pods reach this very server, and the slice that leads to it.

Here because every client in a pod starts from KUBERNETES_SERVICE_HOST. As kube-apiserver, the server writes both
itself at its start: no controller does. Leaves out doing so again when somebody deletes them.
"""

import dataclasses
import ipaddress
from typing import Any

from comparisons.lab.api import change, kinds, registry

Value = dict[str, Any]

NAME, NAMESPACE = "kubernetes", "default"
CLUSTER_IP = "10.96.0.1"
"""The first address of the Services' range, as on a real cluster."""
PORT, USUAL_TARGET = 443, 6443


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the server listens for pods."""

    ip: str
    port: int

    @property
    def url(self) -> str:
        """How a client names it."""
        return f"https://[{self.ip}]:{self.port}" if ":" in self.ip else f"https://{self.ip}:{self.port}"

    @property
    def reachable(self) -> bool:
        """Whether anybody but this machine can come here; a slice may not name a loopback address."""
        return not ipaddress.ip_address(self.ip).is_loopback


async def publish(rules: registry.Registry, at: Endpoint, write: change.Change) -> None:
    """Make the Service, if it is not there, and have its slice say where the server is now."""
    if rules.store.get(kinds.SERVICE, (NAMESPACE, NAME)) is None:
        await rules.create(kinds.SERVICE, NAMESPACE, _service(at), write)
    wanted, present = _slice(at), rules.store.get(kinds.ENDPOINT_SLICE, (NAMESPACE, NAME))
    if present is None:
        await rules.create(kinds.ENDPOINT_SLICE, NAMESPACE, wanted, write)
    elif any(present.get(part) != wanted[part] for part in ("endpoints", "ports")):
        await rules.update(kinds.ENDPOINT_SLICE, (NAMESPACE, NAME), {**present, **_without_metadata(wanted)}, write)


def _without_metadata(value: Value) -> Value:
    return {key: part for key, part in value.items() if key != "metadata"}


def _service(at: Endpoint) -> Value:
    port = {"name": "https", "protocol": "TCP", "port": PORT, "targetPort": at.port if at.reachable else USUAL_TARGET}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    spec = {"clusterIP": CLUSTER_IP, "clusterIPs": [CLUSTER_IP], "ports": [port], "type": "ClusterIP"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "labels": labels}, "spec": spec}


def _slice(at: Endpoint) -> Value:
    known = [{"addresses": [at.ip], "conditions": {"ready": True}}] if at.reachable else []
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv6" if ":" in at.ip else "IPv4",
        "endpoints": known,
        "ports": [{"name": "https", "port": at.port, "protocol": "TCP"}],
    }
