"""A cluster as values: pods and Services for tests of discovery, as few words as they need."""

from collections.abc import Sequence
from typing import Any

from injector import annotations
from injector.cluster import model
from ipseity import identity

TRUST_DOMAIN = identity.TrustDomain("cluster.local")


def who(name: str, namespace: str = "shop") -> identity.SpiffeId:
    """Give a SPIFFE ID."""
    return identity.SpiffeId(TRUST_DOMAIN, identity.ServiceAccount(namespace, name))


def pod(number: int, account: str = "web", namespace: str = "shop", **said: Any) -> model.Pod:
    """Give a meshed pod with a port 8080 called http and an unnamed 7000."""
    given: dict[str, Any] = {
        "labels": {"app": account},
        "addresses": (f"10.244.{number // 250}.{number % 250 + 1}",),
        "ports": (model.PodPort(name="http", port=8080), model.PodPort(name="", port=7000)),
        "meshed": True,
        "opaque_ports": annotations.DEFAULT_OPAQUE_PORTS,
        **said,
    }
    return model.Pod(
        ref=identity.PodRef(namespace, f"{account}-{number}", f"uid-{account}-{number}"),
        account=identity.ServiceAccount(namespace, account),
        **given,
    )


def service(  # what a Service is made of
    name: str,
    pods: Sequence[model.Pod],
    *,
    address: str = "10.96.0.1",
    protocol: model.Protocol = model.Protocol.HTTP,
    port: int = 80,
    target: int = 8080,
    namespace: str = "shop",
) -> model.Service:
    """Give a Service with one port in front of pods; no address: headless."""
    there = tuple(
        model.Endpoint(address=each.addresses[0], port=target, pod=each.ref, account=each.expects(target))
        for each in pods
    )
    return model.Service(
        namespace=namespace,
        name=name,
        addresses=(address,) if address else (),
        headless=not address,
        ports=(model.ServicePort(name="", port=port, target=target, protocol=protocol),),
        endpoints={"": there},
    )


def state(pods: Sequence[model.Pod], services: Sequence[model.Service] = (), revision: int = 1) -> model.ClusterState:
    """Give a state."""
    return model.state_of(TRUST_DOMAIN, pods, services, revision=revision)
