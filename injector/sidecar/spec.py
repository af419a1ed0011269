"""What is put into a pod: the redirect init container, the proxy, and their two volumes, as plain JSON.

Here because it is the contract between the webhook, which writes it, and the sidecar's own process, which reads these
variables and mounts. Pure. Leaves out where in the pod it goes (``webhook.patch``) and what the process does (``run``).

The redirect container runs as root with one capability, NET_ADMIN: Kubernetes gives another user than root the
capabilities of its container through file capabilities only, which ``allowPrivilegeEscalation: false`` switches off.
So it is root without root's powers (no DAC_OVERRIDE, no SETUID, nothing to write to), and ends before the application
starts.

The proxy has no liveness probe: its supervisor ends when Envoy does, and a proxy that is slow under load must not be
restarted for it, because that cuts every connection of a pod that works.
"""

import dataclasses
from typing import Any, Final

from injector import annotations, names

Value = dict[str, Any]

IDENTITY_VOLUME: Final = "ipseity-identity"
"""Projected: token and trust bundle."""
WORKLOAD_VOLUME: Final = "ipseity-workload"
"""In memory: key, certificate, Envoy's configuration."""
VOLUMES: Final = (IDENTITY_VOLUME, WORKLOAD_VOLUME)
PORTS: Final = (names.OUTBOUND_PORT, names.INBOUND_PORT, names.STATUS_PORT)
"""What Envoy listens on inside the pod; the application cannot have them."""
READY_PATH: Final = "/ready"
_STATUS_PORT_NAME: Final = "ipseity-status"
_WORKLOAD_SIZE: Final = "8Mi"
"""A tmpfs counts as the pod's memory: a configuration of 500 clusters is about 2 MB, twice that while it is swapped."""
_START_S: Final = 600
"""How long a sidecar may wait for the control plane before the kubelet restarts it. As Istio's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Kubernetes quantities; "" is none."""

    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What one installation of the mesh says of every sidecar; annotations may say otherwise where they can."""

    version: str
    image: str
    trust_domain: str
    command: tuple[str, ...] = ("ipseity",)
    """How the image starts ipseity."""
    pull_policy: annotations.PullPolicy = annotations.PullPolicy.IF_NOT_PRESENT
    control_plane: str = names.control_plane()
    """The name in the control plane's certificates."""
    identity_address: str = f"{names.control_plane()}:{names.IDENTITY_PORT}"
    discovery_address: str = f"{names.control_plane()}:{names.DISCOVERY_PORT}"
    token_life_s: int = 3600
    """The kubelet renews at 80 %. Short, because a stolen token is worth an identity for as long as it lives."""
    proxy: Resources = Resources(cpu_request="10m", memory_request="48Mi", memory_limit="256Mi")
    """No limit of CPU: throttling a proxy is latency for everybody who calls its pod."""
    redirect: Resources = Resources(cpu_request="10m", memory_request="32Mi", memory_limit="128Mi")


def redirect(config: annotations.ProxyConfig, installation: Installation, probed: frozenset[int]) -> Value:
    """Give the init container that sends the pod's TCP through the proxy. ``probed``: ports with a TCP probe."""
    listed = [_setting("IPSEITY_PROBED_PORTS", annotations.spell_ports(probed))] if probed else []
    return {
        **_container(names.REDIRECT, "redirect", config, installation),
        "env": [*_pod(), *_ports(config), *listed],
        "resources": _resources(installation.redirect, Resources()),
        "securityContext": {
            **_locked_down(),
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
        },
    }


def proxy(config: annotations.ProxyConfig, installation: Installation) -> Value:
    """Give the proxy: an init container that stays, or an ordinary one that holds the others back until it is ready."""
    asked = Resources(
        cpu_request=config.cpu_request,
        cpu_limit=config.cpu_limit,
        memory_request=config.memory_request,
        memory_limit=config.memory_limit,
    )
    ready = {"httpGet": {"path": READY_PATH, "port": names.STATUS_PORT}, "timeoutSeconds": 1}
    made: Value = {
        **_container(names.PROXY, "run", config, installation),
        "env": [*_pod(), *_ports(config), *_control_plane(config, installation)],
        "ports": [{"name": _STATUS_PORT_NAME, "containerPort": names.STATUS_PORT, "protocol": "TCP"}],
        "resources": _resources(installation.proxy, asked),
        "securityContext": {
            **_locked_down(),
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": config.uid,
            "runAsGroup": config.uid,
            "runAsNonRoot": True,
        },
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": _START_S},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 3},
        "volumeMounts": [
            {"name": IDENTITY_VOLUME, "mountPath": names.IDENTITY_MOUNT, "readOnly": True},
            {"name": WORKLOAD_VOLUME, "mountPath": names.WORKLOAD_MOUNT},
        ],
    }
    # The hook runs when the pod begins to end, before anybody's turn to be stopped: callers are told to go elsewhere
    # while the application still answers.
    hooks = {"preStop": _hook("drain", installation)}
    if config.native:
        return {**made, "restartPolicy": "Always", "lifecycle": hooks}
    # The kubelet starts the next container when this one's hook has returned. A start-up probe would hold nobody back,
    # and an await that fails restarts the proxy.
    return {**made, "lifecycle": {**hooks, "postStart": _hook("await", installation)}}


def volumes(installation: Installation) -> list[Value]:
    """Give the two volumes. The trust bundle is not optional: the pod waits until its namespace has one."""
    token = {
        "audience": names.AUDIENCE,
        "expirationSeconds": installation.token_life_s,
        "path": names.TOKEN_FILE.removeprefix(names.IDENTITY_MOUNT + "/"),
    }
    bundle = {"name": names.TRUST_BUNDLE, "items": [{"key": names.TRUST_KEY, "path": names.TRUST_KEY}]}
    sources = [{"serviceAccountToken": token}, {"configMap": bundle}]
    return [
        {"name": IDENTITY_VOLUME, "projected": {"sources": sources, "defaultMode": 0o644}},
        {"name": WORKLOAD_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": _WORKLOAD_SIZE}},
    ]


def _container(name: str, verb: str, config: annotations.ProxyConfig, installation: Installation) -> Value:
    return {
        "name": name,
        "image": config.image or installation.image,
        "imagePullPolicy": str(config.image_pull_policy or installation.pull_policy),
        "command": [*installation.command, "sidecar", verb],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _hook(verb: str, installation: Installation) -> Value:
    return {"exec": {"command": [*installation.command, "sidecar", verb]}}


def _locked_down() -> Value:
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _pod() -> list[Value]:
    """Who this is, as only the kubelet knows when the container starts."""
    return [
        _field("IPSEITY_POD_NAME", "metadata.name"),
        _field("IPSEITY_POD_NAMESPACE", "metadata.namespace"),
        _field("IPSEITY_POD_UID", "metadata.uid"),
        _field("IPSEITY_POD_IPS", "status.podIPs"),
        _field("IPSEITY_HOST_IP", "status.hostIP"),
        _field("IPSEITY_NODE_NAME", "spec.nodeName"),
        _field("IPSEITY_SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ]


def _ports(config: annotations.ProxyConfig) -> list[Value]:
    return [
        _setting("IPSEITY_PROXY_UID", config.uid),
        _setting("IPSEITY_SKIP_INBOUND_PORTS", annotations.spell_ports(config.skip_inbound_ports)),
        _setting("IPSEITY_SKIP_OUTBOUND_PORTS", annotations.spell_ports(config.skip_outbound_ports)),
    ]


def _control_plane(config: annotations.ProxyConfig, installation: Installation) -> list[Value]:
    return [
        _setting("IPSEITY_TRUST_DOMAIN", installation.trust_domain),
        _setting("IPSEITY_CONTROL_PLANE", installation.control_plane),
        _setting("IPSEITY_IDENTITY_ADDRESS", installation.identity_address),
        _setting("IPSEITY_DISCOVERY_ADDRESS", installation.discovery_address),
        _setting("IPSEITY_PROXY_LOG_LEVEL", config.log_level),
        _setting("IPSEITY_PROXY_CONCURRENCY", config.concurrency),
    ]


def _field(name: str, path: str) -> Value:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _setting(name: str, value: object) -> Value:
    return {"name": name, "value": str(value)}


def _resources(default: Resources, asked: Resources) -> Value:
    """Merge, keeping each request at or below its limit: what was asked for moves what was only a default."""
    cpu = _pair((asked.cpu_request, asked.cpu_limit), (default.cpu_request, default.cpu_limit))
    memory = _pair((asked.memory_request, asked.memory_limit), (default.memory_request, default.memory_limit))
    made = {}
    for kind, place in (("requests", 0), ("limits", 1)):
        amounts = {name: pair[place] for name, pair in (("cpu", cpu), ("memory", memory)) if pair[place]}
        if amounts:
            made[kind] = amounts
    return made


def _pair(asked: tuple[str, str], default: tuple[str, str]) -> tuple[str, str]:
    request, limit = asked[0] or default[0], asked[1] or default[1]
    if not (request and limit and annotations.quantity(request) > annotations.quantity(limit)):
        return request, limit
    return (request, request) if asked[0] else (limit, limit)
