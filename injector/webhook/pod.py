"""What is read of a pod or a pod template: no more than deciding and patching need.

Here because a webhook sees every field that Kubernetes will ever have, and must pass over those it does not know. A
null is as good as nothing, as in Kubernetes. Leaves out whether the rest is valid: the API server asks that after us.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from injector import errors

_MAX_PORT: Final = 65_535


class MalformedPod(errors.MeshError):
    """Not a pod: a field that matters here is of another type than Kubernetes says."""


class Owner(msgspec.Struct, frozen=True, rename="camel"):
    """A controller, as ``metadata.ownerReferences`` has it."""

    kind: str
    name: str
    uid: str = ""
    api_version: str = "v1"
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Of the pod, or of the template it is made from."""

    name: str | None = None
    generate_name: str | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Owner] | None = None


class Capabilities(msgspec.Struct, frozen=True):
    """What a container may do beyond its user."""

    add: list[str] | None = None


class Security(msgspec.Struct, frozen=True, rename="camel"):
    """The ``securityContext`` of a container or of the pod."""

    run_as_user: int | None = None
    privileged: bool | None = None
    capabilities: Capabilities | None = None


class Port(msgspec.Struct, frozen=True, rename="camel"):
    """A declared port."""

    container_port: int = 0
    protocol: str | None = None
    name: str | None = None


class TcpSocket(msgspec.Struct, frozen=True):
    """What a probe connects to."""

    port: int | str = 0
    host: str | None = None


class Probe(msgspec.Struct, frozen=True, rename="camel"):
    """A probe; of one that does not connect by TCP, nothing."""

    tcp_socket: TcpSocket | None = None


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container, also one that initialises."""

    name: str = ""
    image: str | None = None
    ports: list[Port] | None = None
    security_context: Security | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None

    def probed_ports(self) -> Iterator[int]:
        """Give the pod's own ports that the kubelet connects to; a name that no port has it cannot probe either."""
        named = {port.name: port.container_port for port in self.ports or () if port.name}
        for probe in (self.liveness_probe, self.readiness_probe, self.startup_probe):
            if probe and probe.tcp_socket and not probe.tcp_socket.host:
                port = probe.tcp_socket.port
                number = port if isinstance(port, int) else named.get(port, 0)
                if 0 < number <= _MAX_PORT:
                    yield number


class Volume(msgspec.Struct, frozen=True):
    """A volume, by name."""

    name: str = ""


class OperatingSystem(msgspec.Struct, frozen=True):
    """``spec.os``."""

    name: str = ""


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """The pod's ``spec``."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    host_network: bool | None = None
    security_context: Security | None = None
    os: OperatingSystem | None = None
    node_selector: dict[str, str] | None = None


class Pod(msgspec.Struct, frozen=True):
    """A pod or a pod template."""

    spec: Spec
    metadata: Metadata | None = None

    @property
    def annotations(self) -> dict[str, str]:
        """None is as good as empty."""
        return (self.metadata and self.metadata.annotations) or {}

    @property
    def owner(self) -> Owner | None:
        """The controller that makes and replaces this pod."""
        references = (self.metadata and self.metadata.owner_references) or []
        return next((reference for reference in references if reference.controller), None)

    def probed_ports(self) -> frozenset[int]:
        """Give the ports that have a TCP probe."""
        return frozenset(port for container in self.containers() for port in container.probed_ports())

    def containers(self) -> Iterator[Container]:
        """Go over all, those that initialise first."""
        yield from self.spec.init_containers or ()
        yield from self.spec.containers or ()


def decode(raw: bytes | msgspec.Raw) -> Pod:
    """Read JSON. Raises MalformedPod."""
    try:
        return msgspec.json.decode(raw, type=Pod)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedPod(f"not a pod: {error}") from error


def convert(value: Any) -> Pod:
    """Read what a YAML document said. Raises MalformedPod."""
    try:
        return msgspec.convert(value, type=Pod)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedPod(f"not a pod: {error}") from error
