"""What is spoken on a port, from what people have said about it. Pure.

    protocols.choose(app_protocol="kubernetes.io/h2c", name="", ports=(80, 8080), opaque=config.opaque_ports)

Here because client and server must come to the same answer: both proxies read it from here. The order: a port that
somebody marked opaque (beyond the default list), ``appProtocol``, the port's name, the list, else the client's first
bytes tell. Leaves out looking at bytes: Envoy does that.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from injector import annotations
from injector.cluster import model

_OPAQUE: Final = (
    "https tls wss kubernetes.io/wss grpcs tcp opaque mongo mysql postgres postgresql redis kafka amqp mqtt nats smtp "
    "imap pop3 ftp ssh ldap cql memcached"
)
_SAID: Final = {
    "http": model.Protocol.HTTP,
    "http1": model.Protocol.HTTP,
    "ws": model.Protocol.HTTP,
    "kubernetes.io/ws": model.Protocol.HTTP,
    "http2": model.Protocol.HTTP2,
    "h2c": model.Protocol.HTTP2,
    "kubernetes.io/h2c": model.Protocol.HTTP2,
    "grpc": model.Protocol.HTTP2,
    "grpcweb": model.Protocol.HTTP,
    **dict.fromkeys(_OPAQUE.split(), model.Protocol.OPAQUE),
}
"""``appProtocol`` (KEP-3726: ``kubernetes.io/h2c``, ``ws``, ``wss``, and IANA service names), and names of ports, as
Istio has them: the same words before the first dash. ``grpc-web`` is HTTP/1.1 as often as not."""


def choose(*, app_protocol: str, name: str, ports: Iterable[int], opaque: AbstractSet[int]) -> model.Protocol:
    """Decide about a service port. ``ports``: its own and its target's; ``opaque``: the list that its pods have."""
    numbers = frozenset(ports)
    if numbers & (opaque - annotations.DEFAULT_OPAQUE_PORTS):
        return model.Protocol.OPAQUE  # somebody wrote it down for this very port
    said = _SAID.get(app_protocol.lower()) or named(name)
    if said is not None:
        return said
    return model.Protocol.OPAQUE if numbers & opaque else model.Protocol.DETECT


def named(name: str) -> model.Protocol | None:
    """Read the name of a port: ``http``, ``http-admin``, ``grpc-web``; None where it says nothing."""
    if name.startswith("grpc-web"):
        return model.Protocol.HTTP
    return _SAID.get(name.partition("-")[0])


def of_pod(pod: model.Pod, port: int, services: Iterable[model.Service]) -> model.Protocol:
    """Decide what a pod speaks on one of its ports: what the services in front of it say, its port's name, its probes.

    Where services contradict one another, HTTP is believed: it is bytes too, and read as bytes it would carry an
    ``x-forwarded-client-cert`` of the client's own making. A port that is probed by HTTP speaks HTTP.
    """
    if port in pod.opaque_ports - annotations.DEFAULT_OPAQUE_PORTS:
        return model.Protocol.OPAQUE
    said = {each.protocol for service in services for each in service.ports if _targets(each, pod, port)}
    said.discard(model.Protocol.DETECT)
    if said:
        return said.pop() if len(said) == 1 else model.Protocol.HTTP
    names = (named(each.name) for each in pod.ports if each.port == port)
    by_name = next((found for found in names if found is not None), None)
    if by_name is not None:
        return by_name
    if any(probe.port == port and not probe.secured for probe in pod.probes):
        return model.Protocol.HTTP
    return model.Protocol.OPAQUE if port in pod.opaque_ports else model.Protocol.DETECT


def _targets(service_port: model.ServicePort, pod: model.Pod, port: int) -> bool:
    target = service_port.target
    return (target if isinstance(target, int) else pod.port_named(target)) == port
