"""Where a webhook's ``clientConfig`` leads. Leaves out connecting: the contract tests do."""

from typing import Any

import pytest

from comparisons.lab.api import kinds, store, webhook_address

Value = dict[str, Any]
SERVICE = ("n", "hook", 443)


@pytest.mark.parametrize(
    ("client", "url", "service"),
    [
        ({"url": "https://a.example/b"}, "https://a.example/b?timeout=7s", None),
        ({"url": "https://a.example:8443"}, "https://a.example:8443/?timeout=7s", None),
        ({"service": {"namespace": "n", "name": "hook"}}, "https://hook.n.svc:443/?timeout=7s", SERVICE),
        (
            {"service": {"namespace": "n", "name": "hook", "path": "/a/b", "port": 8443}},
            "https://hook.n.svc:8443/a/b?timeout=7s",
            ("n", "hook", 8443),
        ),
    ],
)
def test_the_url(client: Value, url: str, service: tuple[str, str, int] | None) -> None:
    """With the time-out that the webhook is told of."""
    found = webhook_address.of(client, 7)
    assert (url, service, "") == (found.url, found.service, found.ca_bundle)


def cluster(*endpoints: Value, **spec: Any) -> store.Store:
    """Return a store with the Service and one slice."""
    objects = store.Store(history=7)
    ports = [{"name": "metrics", "port": 80}, {"name": "https", "port": 443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook", "namespace": "n"}}
    objects.put(kinds.SERVICE, ("n", "hook"), {**service, "spec": {"ports": ports, **spec}})
    meta = {"name": "s", "namespace": "n", "labels": {"kubernetes.io/service-name": "hook"}}
    ports = [{"name": "metrics", "port": 9090}, {"name": "https", "port": 8443}]
    slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "addressType": "IPv4"}
    objects.put(kinds.ENDPOINT_SLICE, ("n", "s"), {**slice_, "ports": ports, "endpoints": list(endpoints)})
    other = {**slice_, "metadata": {**meta, "name": "t", "namespace": "m"}, "ports": ports}
    objects.put(kinds.ENDPOINT_SLICE, ("m", "t"), {**other, "endpoints": [{"addresses": ["10.9.9.9"]}]})
    return objects


def test_the_endpoint_is_a_ready_one() -> None:
    """By the name of the Service's port; one that does not say is ready."""
    unready = {"addresses": ["10.0.0.1"], "conditions": {"ready": False}}
    assert ("10.0.0.2", 8443) == webhook_address.endpoint(cluster(unready, {"addresses": ["10.0.0.2"]}), SERVICE)
    ready = {"addresses": ["10.0.0.3"], "conditions": {"ready": True}}
    assert ("10.0.0.3", 9090) == webhook_address.endpoint(cluster(unready, ready), ("n", "hook", 80))


@pytest.mark.parametrize(
    ("objects", "service", "words"),
    [
        (cluster(), ("n", "other", 443), 'service "other" not found'),
        (cluster(), ("n", "hook", 8443), 'no service port 8443 found for service "hook"'),
        (cluster(), SERVICE, 'no endpoints available for service "hook"'),
        (cluster({"addresses": ["a.example"]}), SERVICE, 'no endpoints available for service "hook"'),
        (cluster(type="ExternalName"), SERVICE, 'unsupported service type "ExternalName"'),
    ],
)
def test_nowhere(objects: store.Store, service: tuple[str, str, int], words: str) -> None:
    """Says why."""
    with pytest.raises(webhook_address.Nowhere) as caught:
        webhook_address.endpoint(objects, service)
    assert words == str(caught.value)
