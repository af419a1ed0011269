"""The cluster that a control plane is measured with, as the API server gives it: meshed pods behind Services, in turn.

Tokens say of which pod they are. Leaves out who serves all that (``mesh_plane``).
"""

import dataclasses
from typing import Any

from injector import names
from injector.routes import model

Json = dict[str, Any]
NAMESPACE = "shop"
ROUTES = "httproutes"
_USER = "system:serviceaccount"
_BOUND = "authentication.kubernetes.io"
_PORTS = {"http": (80, 8080), "tcp-bytes": (7000, 7000)}
"""By name: a Service's port, and its pods'."""


def token(number: int) -> str:
    """Give the token of a pod."""
    return f"bench.{number}.bench"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How large it is. A pod's number says all about it."""

    pods: int
    services: int
    accounts: int

    def account(self, number: int) -> str:
        """Name the service account of a pod."""
        return f"account{number % self.accounts}"

    def named(self, number: int) -> str:
        """Name the Service of a pod."""
        return f"app{number % self.services}"

    def members(self, service: int) -> tuple[int, ...]:
        """Give the numbers of the pods of a Service."""
        return tuple(range(service, self.pods, self.services))

    def watched(self, service: int = 0) -> str:
        """Begin the name of what proxies are told of a Service's first port."""
        return f"outbound|80|{NAMESPACE}/{self.named(service)}"

    def reviewed(self, asked: Json) -> Json:
        """Answer a TokenReview."""
        number = int(asked["spec"]["token"].split(".")[1])
        extra = {f"{_BOUND}/pod-name": [self.pod_name(number)], f"{_BOUND}/pod-uid": [_uid(number)]}
        user = {"username": f"{_USER}:{NAMESPACE}:{self.account(number)}", "extra": extra}
        return {**asked, "status": {"authenticated": True, "user": user, "audiences": [names.AUDIENCE]}}

    def pod_name(self, number: int) -> str:
        """Name a pod."""
        return f"{self.named(number)}-{number}"

    def pod(self, number: int) -> tuple[str, Json]:
        """Give path and object of a meshed pod that is ready."""
        address = f"10.{240 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
        ports = [{"name": "http", "containerPort": 8080}, {"name": "bytes", "containerPort": 7000}]
        name, labels = self.pod_name(number), {"app": self.named(number), names.MESHED: "true"}
        return f"/api/v1/namespaces/{NAMESPACE}/pods/{name}", {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": _uid(number), "labels": labels},
            "spec": {
                "serviceAccountName": self.account(number),
                "nodeName": f"node{number % 20}",
                "containers": [{"name": "app", "image": "app", "ports": ports}],
            },
            "status": {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }

    def service(self, number: int) -> tuple[str, Json]:
        """Give path and object of a Service."""
        name, address = self.named(number), f"10.96.{number // 250}.{number % 250 + 1}"
        ports = [
            {"name": port, "port": ours, "targetPort": target, "protocol": "TCP"}
            for port, (ours, target) in _PORTS.items()
        ]
        spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "selector": {"app": name}}
        return f"/api/v1/namespaces/{NAMESPACE}/services/{name}", {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**spec, "ports": ports},
        }

    def endpoints(self, number: int, *more: int, unready: frozenset[int] = frozenset()) -> tuple[str, Json]:
        """Give path and object of a Service's EndpointSlice: its pods, and others beside them."""
        name = self.named(number)
        there = [
            {
                "addresses": [self.pod(each)[1]["status"]["podIP"]],
                "conditions": {"ready": each not in unready, "serving": each not in unready, "terminating": False},
                "targetRef": {
                    "kind": "Pod",
                    "namespace": NAMESPACE,
                    "name": self.pod_name(each),
                    "uid": _uid(each),
                },
            }
            for each in (*self.members(number), *more)
        ]
        ports = [{"name": port, "port": target, "protocol": "TCP"} for port, (_, target) in _PORTS.items()]
        return f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{name}", {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": there,
            "ports": ports,
        }

    def route(self, number: int, weight: int) -> tuple[str, Json]:
        """Give path and object of a Service's HTTPRoute: a share of 100, ``weight``, goes to the next one."""
        name = self.named(number)
        parent = {"group": "", "kind": model.SERVICE, "name": name, "port": 80}
        backends = [
            {"group": "", "kind": model.SERVICE, "name": to, "port": 80, "weight": share}
            for to, share in ((name, 100 - weight), (self.named(number + 1), weight))
        ]
        created = {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": weight}
        return f"/apis/{model.GROUP}/v1/namespaces/{NAMESPACE}/{ROUTES}/{name}", {
            "apiVersion": f"{model.GROUP}/v1",
            "kind": model.Kind.HTTP.value,
            "metadata": {"name": name, "namespace": NAMESPACE, **created},
            "spec": {"parentRefs": [parent], "rules": [{"backendRefs": backends}]},
        }


USUAL = Cluster(pods=500, services=50, accounts=50)
"""What the limits of ``make bench`` are for."""


def _uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"
