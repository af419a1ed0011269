"""TLS Secrets (``kubernetes.io/tls``: tls.crt, tls.key, ca.crt), as cert-manager writes them: read, write, watch.

Here because the trust anchor and the issuer live in them. Leaves out what is in the PEM: ``injector.identity``.
"""

import base64
import binascii
import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from injector.kube import rest
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_TYPE: Final = "kubernetes.io/tls"
_LABELS: Final = {"app.kubernetes.io/managed-by": "ipseity"}
MADE_BY: Final = "ipseity.io/made-by"
"""Annotation of a Secret that the mesh made, and therefore renews; without it, the Secret is its owner's business."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TlsSecret:
    """What is in one."""

    namespace: str
    name: str
    certificate_pem: bytes
    """``tls.crt``: the certificate first, then those between it and the anchor."""
    key_pem: bytes = dataclasses.field(repr=False, default=b"")
    """``tls.key``; empty where only a certificate was brought."""
    authority_pem: bytes = b""
    """``ca.crt``; may be empty."""
    ours: bool = False
    """Made by the mesh."""
    version: str = ""
    """resourceVersion; empty: not in the cluster yet."""


async def read(api: "client.ApiClient", namespace: str, name: str) -> TlsSecret | None:
    """Read one; None if there is none. Raises KubernetesError."""
    found = await rest.get(api, f"{_path(namespace)}/{name}")
    return None if found is None else parse(found)


async def create(api: "client.ApiClient", secret: TlsSecret) -> TlsSecret:
    """Write one that must not exist yet. Raises KubernetesError; status 409: it does."""
    return parse(await rest.create(api, _path(secret.namespace), render(secret)))


async def replace(api: "client.ApiClient", secret: TlsSecret) -> TlsSecret:
    """Write one over the version that was read. Raises KubernetesError; status 409: it was changed meanwhile."""
    return parse(await rest.replace(api, f"{_path(secret.namespace)}/{secret.name}", render(secret)))


async def delete(api: "client.ApiClient", secret: TlsSecret) -> bool:
    """Remove the version that was read; False if it is gone already. Raises KubernetesError."""
    return await rest.delete(api, f"{_path(secret.namespace)}/{secret.name}", resource_version=secret.version)


def follow(
    api: "client.ApiClient", namespace: str, names: tuple[str, ...], clock: Callable[[], int]
) -> informer.Informer[TlsSecret]:
    """Make an informer over those names; a Secret that cannot be read counts there as malformed."""
    resource = kube.Resource(path=_path(namespace), field_selector="type=" + _TYPE)

    def trim(found: dict[str, Any]) -> TlsSecret | None:
        return parse(found) if found.get("metadata", {}).get("name") in names else None

    return informer.Informer(api, resource, trim=trim, clock=clock)


def parse(found: Mapping[str, Any]) -> TlsSecret:
    """Read a Secret object. Raises ValueError, KeyError or TypeError where it is none."""
    metadata, data = found["metadata"], found.get("data") or {}
    return TlsSecret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        certificate_pem=_decoded(data, "tls.crt"),
        key_pem=_decoded(data, "tls.key"),
        authority_pem=_decoded(data, "ca.crt"),
        ours=MADE_BY in (metadata.get("annotations") or {}),
        version=metadata.get("resourceVersion", ""),
    )


def render(secret: TlsSecret) -> Mapping[str, Any]:
    """Make the Secret object."""
    metadata: dict[str, Any] = {"name": secret.name, "namespace": secret.namespace, "labels": dict(_LABELS)}
    if secret.ours:
        metadata["annotations"] = {MADE_BY: "control-plane"}
    if secret.version:
        metadata["resourceVersion"] = secret.version
    content = {"tls.crt": secret.certificate_pem, "tls.key": secret.key_pem, "ca.crt": secret.authority_pem}
    data = {key: base64.b64encode(value).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": _TYPE, "metadata": metadata, "data": data}


def _decoded(data: Mapping[str, str], key: str) -> bytes:
    try:
        return base64.b64decode(data.get(key) or "", validate=True)
    except binascii.Error as error:
        raise ValueError(f"{key} of the Secret is not base64") from error


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"
