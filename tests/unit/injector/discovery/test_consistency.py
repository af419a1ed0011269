"""What must not be served is told apart from what may be. Leaves out Envoy's own opinion."""

import dataclasses

import pytest

from injector.discovery import consistency, resource, settings, snapshot
from tests.fakes import clusters as given

WEB = given.pod(1)
CLUSTER = "outbound|80|shop/web"


@pytest.fixture
def good() -> snapshot.Snapshot:
    """Make a snapshot that may be served."""
    maker = snapshot.Maker(settings.Settings(trust_domain=given.TRUST_DOMAIN))
    return maker.snapshot(maker.update(given.state([WEB], [given.service("web", [WEB])]), ()), WEB)


def changed(good: snapshot.Snapshot, kind: str, name: str, to: resource.Resource | None) -> snapshot.Snapshot:
    """Put a resource in the place of another, or nothing."""
    table = {key: each for key, each in good.shared[kind].items() if key != name}
    table |= {name: to} if to is not None else {}
    return dataclasses.replace(good, shared={**good.shared, kind: table})


def test_what_is_made_may_be_served(good: snapshot.Snapshot) -> None:
    """And what is read back needs exactly what was said to be needed."""
    assert () == consistency.faults(good)
    for kind in resource.TYPES:
        for each in good.all(kind):
            assert consistency._findings(kind, each).refers == frozenset(each.needs)


@pytest.mark.parametrize("kind", [resource.CLUSTER, resource.ENDPOINT, resource.ROUTE])
def test_what_is_referred_to_must_be_there(good: snapshot.Snapshot, kind: str) -> None:
    """A cluster without endpoints, a listener without its route or cluster."""
    name = next(name for name in good.shared[kind] if name.startswith(CLUSTER))
    assert any("which is not there" in fault for fault in consistency.faults(changed(good, kind, name, None)))


def test_what_a_pods_own_listener_refers_to_must_be_there(good: snapshot.Snapshot) -> None:
    """Its own resources stand over the shared ones, and lean on them."""
    faults = consistency.faults(changed(good, resource.CLUSTER, "inbound", None))
    assert ("inbound: refers to inbound, which is not there",) == faults


def test_an_endpoint_without_a_way_to_it_is_never_told(good: snapshot.Snapshot) -> None:
    """It would be spoken to in plaintext."""
    cluster = consistency.decode(resource.CLUSTER, good.shared[resource.CLUSTER][CLUSTER])
    del cluster.transport_socket_matches[0]
    without = resource.pack(CLUSTER, cluster, good.shared[resource.CLUSTER][CLUSTER].needs)
    faults = consistency.faults(changed(good, resource.CLUSTER, CLUSTER, without))
    assert (f"{CLUSTER}: an endpoint expects shop/web, and there is no way to it",) == faults


def test_a_chain_that_is_not_there_or_twice_is_found(good: snapshot.Snapshot) -> None:
    """Envoy would refuse it, or close what leads there."""
    name = "outbound"
    listener = consistency.decode(resource.LISTENER, good.shared[resource.LISTENER][name])
    listener.filter_chains[1].name = listener.filter_chains[0].name
    broken = resource.pack(name, listener, good.shared[resource.LISTENER][name].needs)
    faults = consistency.faults(changed(good, resource.LISTENER, name, broken))
    assert any("twice" in fault for fault in faults)
    assert any("no chain" in fault for fault in faults)


def test_two_listeners_in_one_place_are_found(good: snapshot.Snapshot) -> None:
    """Envoy refuses the second."""
    name = f"{CLUSTER}|10.96.0.1"
    twin = dataclasses.replace(good.shared[resource.LISTENER][name], name="twin")
    assert any(
        "another listener" in fault for fault in consistency.faults(changed(good, resource.LISTENER, "twin", twin))
    )


def test_bytes_that_are_no_message_are_found(good: snapshot.Snapshot) -> None:
    """And told once, not a thousand times."""
    broken = resource.Resource(name=CLUSTER, version="", body=b"\xff\xff")
    faults = consistency.faults(changed(good, resource.CLUSTER, CLUSTER, broken))
    assert any("cannot be read" in fault for fault in faults)
    assert len(faults) <= 10


def test_a_name_that_is_not_its_own_is_found(good: snapshot.Snapshot) -> None:
    """A table is by name."""
    faults = consistency.faults(changed(good, resource.CLUSTER, "other", good.shared[resource.CLUSTER]["inbound"]))
    assert ("other: holds inbound",) == faults
