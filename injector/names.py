"""The names that the mesh and its users agree on: annotations, labels, ports, paths, audiences.

Here because webhook, sidecar, identity and discovery must spell them alike, and because a user meets every one of
them. Leaves out what a value of an annotation may be: ``annotations``.
"""

from typing import Final

GROUP: Final = "ipseity.io"
INJECT: Final = "ipseity.io/inject"
"""On a pod or a namespace: ``enabled`` or ``disabled``; the pod's own wins."""
CONFIG_PREFIX: Final = "config.ipseity.io/"
"""What may follow it: ``annotations``. On a pod or a namespace; the pod's own wins, key by key."""
BALANCER_PREFIX: Final = "balancer.ipseity.io/"
"""What may follow it, on a Service: ``cluster.balancing``."""
INJECTED: Final = "ipseity.io/injected"
"""Annotation on an injected pod: the version that did it."""
ADDED: Final = "ipseity.io/added"
"""Annotation on an injected pod: which others the webhook put there, so that they can be taken away again."""
INJECTS: Final = "ipseity.io/injects"
"""Label on a namespace that says ``INJECT: enabled``; the control plane's copy, since API servers select webhooks by
labels only."""
MESHED: Final = "ipseity.io/meshed"
"""Label on an injected pod: ``true``. An endpoint whose pod has it is spoken to by mTLS, or not at all."""

PROXY: Final = "ipseity-proxy"
"""Container: Envoy and its supervisor."""
REDIRECT: Final = "ipseity-redirect"
"""Init container: sends the pod's TCP through the proxy, and ends."""

PROXY_UID: Final = 2102
"""Unless an annotation says otherwise. What runs as this user is not redirected."""
OUTBOUND_PORT: Final = 15001
INBOUND_PORT: Final = 15006
STATUS_PORT: Final = 15020
"""``/ready`` and ``/metrics`` of the proxy; never redirected."""

SYSTEM_NAMESPACE: Final = "ipseity-system"
CONTROL_PLANE: Final = "ipseity-control"
"""Service, Deployment and service account of the control plane."""


def control_plane(namespace: str = SYSTEM_NAMESPACE) -> str:
    """Give the host by which its certificate names it, and by which it is called."""
    return f"{CONTROL_PLANE}.{namespace}.svc"


def control_plane_namespace(host: str) -> str:
    """Give the namespace that such a host, or one that follows the same pattern, is in."""
    match host.split("."):
        case [_, namespace, "svc", *_]:
            return namespace
        case _:
            return SYSTEM_NAMESPACE


WEBHOOK_PORT: Final = 8443
IDENTITY_PORT: Final = 8444
DISCOVERY_PORT: Final = 8445

AUDIENCE: Final = "identity.ipseity.io"
"""Of the projected token that a pod proves itself with; no other token is accepted."""
TRUST_BUNDLE: Final = "ipseity-trust-bundle"
"""ConfigMap in every namespace, key ``ca.crt``: the trust anchors, PEM."""
TRUST_KEY: Final = "ca.crt"

IDENTITY_MOUNT: Final = "/var/run/secrets/ipseity.io"
"""Projected volume in the proxy: ``token`` and ``ca.crt``."""
TOKEN_FILE: Final = f"{IDENTITY_MOUNT}/token"
TRUST_FILE: Final = f"{IDENTITY_MOUNT}/{TRUST_KEY}"
WORKLOAD_MOUNT: Final = "/run/ipseity.io"
"""Memory-backed volume that only the proxy mounts: key, certificate, Envoy's configuration, its admin socket."""

ALPN_TCP: Final = "ipseity"
ALPN_HTTP: Final = "ipseity-http"
"""Offered by a meshed client on the application's own port: what is inside is HTTP (1.1 or 2), as the client saw it."""
