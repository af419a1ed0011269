"""The MutatingWebhookConfiguration: whom the API server asks us about, and what it does when we do not answer.

Here because the answer to an outage is decided in this object. Pods that did not opt in never come here, so an outage
cannot touch them; for those that did, ``failurePolicy: Fail`` keeps a pod out rather than let it in with no identity.

A ``matchConditions`` expression sees the object and the request, not the object's namespace; a ``namespaceSelector``
sees labels, not annotations. Hence three webhooks:

- pods that have the annotation themselves
- pods without it, in a namespace that has our label
- namespaces whose annotation and label differ: the label is put right while the namespace is written, so that there is
  no moment at which a namespace says ``enabled`` and its pods are let in as they are

Leaves out namespaces that were annotated while nobody listened (``namespaces`` mends those), and who writes this
object (``registration``).
"""

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from injector import names
from injector.webhook import decide

Value = dict[str, Any]

NAME: Final = "ipseity"
PATH: Final = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}"
PODS_PATH: Final = "/inject"
NAMESPACES_PATH: Final = "/namespace"
CERT_MANAGER: Final = "cert-manager.io/inject-ca-from"
TIMEOUT_S: Final = 5
"""Whoever creates a pod waits that long for an outage to show. An answer takes milliseconds."""
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Every namespace has this label since Kubernetes 1.22, and nobody can give it another value."""
_SAID: Final = f"has(object.metadata.annotations) && '{names.INJECT}' in object.metadata.annotations"
_ENABLED: Final = f"{_SAID} && object.metadata.annotations['{names.INJECT}'] == '{decide.ENABLED}'"
_NOT_DISABLED: Final = f"{_SAID} && object.metadata.annotations['{names.INJECT}'] != '{decide.DISABLED}'"
_LABELLED: Final = (
    f"has(object.metadata.labels) && '{names.INJECTS}' in object.metadata.labels "
    f"&& object.metadata.labels['{names.INJECTS}'] == '{decide.ENABLED}'"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How the API server reaches us."""

    url: str = ""
    """``https://host:port``; empty: our Service."""
    service: str = names.CONTROL_PLANE
    namespace: str = names.SYSTEM_NAMESPACE
    port: int = names.WEBHOOK_PORT

    def client_config(self, path: str) -> Value:
        """Give the ``clientConfig`` of one webhook, without its certificate authorities."""
        if self.url:
            return {"url": self.url.rstrip("/") + path}
        return {"service": {"name": self.service, "namespace": self.namespace, "path": path, "port": self.port}}


def render(endpoint: Endpoint, bundle_pem: bytes = b"", *, cert_manager: str = "") -> Value:
    """Make the object. ``cert_manager`` is ``namespace/name`` of a Certificate whose issuer cert-manager writes in."""
    exempt = {
        "key": _NAMESPACE_NAME,
        "operator": "NotIn",
        "values": list(dict.fromkeys((*decide.EXEMPT, endpoint.namespace))),
    }
    opted_in = {"key": names.INJECTS, "operator": "In", "values": [decide.ENABLED]}
    webhooks = [
        _webhook("pods.inject", endpoint, PODS_PATH, [exempt], {"annotated": _NOT_DISABLED}),
        _webhook("namespaced-pods.inject", endpoint, PODS_PATH, [exempt, opted_in], {"silent": f"!({_SAID})"}),
        _webhook(
            "namespaces.inject", endpoint, NAMESPACES_PATH, [exempt], {"differs": f"({_ENABLED}) != ({_LABELLED})"}
        ),
    ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": NAME,
            "labels": {"app.kubernetes.io/part-of": "ipseity"},
            **({"annotations": {CERT_MANAGER: cert_manager}} if cert_manager else {}),
        },
        "webhooks": [_trusting(webhook, bundle_pem) for webhook in webhooks],
    }


def _webhook(name: str, endpoint: Endpoint, path: str, selects: list[Value], conditions: Mapping[str, str]) -> Value:
    of_pods = path == PODS_PATH
    rule = {
        "operations": ["CREATE"] if of_pods else ["CREATE", "UPDATE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods" if of_pods else "namespaces"],
        "scope": "Namespaced" if of_pods else "Cluster",
    }
    return {
        "name": f"{name}.{names.GROUP}",
        "admissionReviewVersions": ["v1"],
        "clientConfig": endpoint.client_config(path),
        "rules": [rule],
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": selects},
        "matchConditions": [{"name": key, "expression": expression} for key, expression in conditions.items()],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "NoneOnDryRun" if of_pods else "None",
        "timeoutSeconds": TIMEOUT_S,
    }


def _trusting(webhook: Value, bundle_pem: bytes) -> Value:
    if not bundle_pem:
        return webhook
    bundle = base64.b64encode(bundle_pem).decode()
    return {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": bundle}}


def bundle_of(found: Mapping[str, Any]) -> bytes:
    """Give what all webhooks of an object trust alike; empty where they differ, so that it is written anew."""
    said = {webhook.get("clientConfig", {}).get("caBundle") or "" for webhook in found.get("webhooks") or ()}
    try:
        return base64.b64decode(said.pop()) if len(said) == 1 else b""
    except binascii.Error:
        return b""


def updated(found: Mapping[str, Any], rendered: Value) -> Value | None:
    """Give the object as it must be, to be written over the version found; None if nothing of ours differs.

    What others put on its metadata, and fields of a webhook that we do not speak of, stay as they are; so does the
    ``caBundle`` where we render none, since somebody else writes it.
    """
    before = {webhook["name"]: webhook for webhook in found.get("webhooks") or ()}
    webhooks = [_over(before.get(webhook["name"], {}), webhook) for webhook in rendered["webhooks"]]
    said = rendered["metadata"].get("annotations", {})
    annotations = {**(found["metadata"].get("annotations") or {}), **said}
    if webhooks == found.get("webhooks") and annotations == (found["metadata"].get("annotations") or {}):
        return None
    metadata = {**found["metadata"], **({"annotations": annotations} if annotations else {})}
    return {**found, "metadata": metadata, "webhooks": webhooks}


def _over(before: Mapping[str, Any], webhook: Value) -> Value:
    client = dict(webhook["clientConfig"])
    bundle = before.get("clientConfig", {}).get("caBundle")
    if bundle and "caBundle" not in client:
        client["caBundle"] = bundle
    return {**before, **webhook, "clientConfig": client}
