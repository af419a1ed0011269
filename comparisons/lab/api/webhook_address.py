"""Where a webhook is: its ``clientConfig`` -> a URL, and for one in the cluster the endpoint behind its Service.

Pure over the store. Rules: k8s.io/apiserver/pkg/util/webhook and kube-aggregator's endpoint resolver. Leaves out
Services of type ExternalName.
"""

import dataclasses
import ipaddress
import random
import urllib.parse
from collections.abc import Iterator
from typing import Any

from comparisons.lab.api import kinds, store

Value = dict[str, Any]

HTTPS = 443
SERVICE_LABEL = "kubernetes.io/service-name"


class Nowhere(Exception):  # noqa: N818  # it reads as what happened
    """There is nobody to ask; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Whom to ask. ``url`` is what errors quote."""

    url: str
    ca_bundle: str
    """Base64 of PEM; empty for the system's authorities."""
    service: tuple[str, str, int] | None
    """Namespace, name and port; None for a webhook outside of the cluster."""


def of(client: Value, timeout_s: int) -> Address:
    """Return where a webhook's ``clientConfig`` leads."""
    query, ca_bundle = f"?timeout={timeout_s}s", client.get("caBundle", "")
    service = client.get("service")
    if service is None:
        parts = urllib.parse.urlsplit(client["url"])
        url = f"{parts.scheme}://{parts.netloc}{parts.path or '/'}{query}"
        return Address(url=url, ca_bundle=ca_bundle, service=None)
    namespace, name, port = service["namespace"], service["name"], service.get("port", HTTPS)
    path = "/" + service.get("path", "").lstrip("/")
    url = f"https://{name}.{namespace}.svc:{port}{path}{query}"
    return Address(url=url, ca_bundle=ca_bundle, service=(namespace, name, port))


def endpoint(objects: store.Store, service: tuple[str, str, int]) -> tuple[str, int]:
    """Return one of the addresses that are ready behind a Service's port; raises Nowhere."""
    namespace, name, port = service
    found = objects.get(kinds.SERVICE, (namespace, name))
    if found is None:
        raise Nowhere(f'service "{name}" not found')
    if (type_ := found["spec"].get("type", "ClusterIP")) == "ExternalName":
        raise Nowhere(f'unsupported service type "{type_}"')
    port_name = next((each.get("name", "") for each in found["spec"].get("ports") or () if each["port"] == port), None)
    if port_name is None:
        raise Nowhere(f'no service port {port} found for service "{name}"')
    ready = list(_ready(objects, namespace, name, port_name))
    if not ready:
        raise Nowhere(f'no endpoints available for service "{name}"')
    return random.choice(ready)  # noqa: S311  # load, not a secret


def _ready(objects: store.Store, namespace: str, name: str, port_name: str) -> Iterator[tuple[str, int]]:
    for (where, _), found in objects.objects(kinds.ENDPOINT_SLICE).items():
        if where != namespace or (found["metadata"].get("labels") or {}).get(SERVICE_LABEL) != name:
            continue
        ports = [
            each["port"] for each in found.get("ports") or () if each.get("name", "") == port_name and "port" in each
        ]
        for each in found.get("endpoints") or ():
            if (each.get("conditions") or {}).get("ready", True) is not False:
                yield from ((address, port) for address in each["addresses"][:1] for port in ports if _is_ip(address))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
