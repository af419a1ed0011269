"""A delta ADS stream, message by message. Leaves out gRPC, and long random histories (``tests/sim``)."""

import collections
import dataclasses
from typing import Any

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from injector.cluster import model
from injector.discovery import resource, session, settings, snapshot
from tests.fakes import clusters as given
from tests.fakes import xds_client

WEB, CLIENT = given.pod(1), given.pod(2, "client")


class Talk:
    """A session and a client, and what passes between them."""

    def __init__(self, client: xds_client.Client | None = None) -> None:
        self.maker = snapshot.Maker(settings.Settings(trust_domain=given.TRUST_DOMAIN))
        self.session = session.Session()
        self.client = client or xds_client.Client()
        self.now_s = 100.0
        self.nacks: list[session.Nack] = []
        self.revision = 0
        self.heavy = True
        self.to_server = collections.deque(self.client.hello())

    def offer(self, *services: model.Service) -> None:
        """Let this be the cluster."""
        self.revision += 1
        state = given.state([WEB, CLIENT], services, revision=self.revision)
        self.session.offer(self.maker.snapshot(self.maker.update(state, ()), CLIENT))

    def settle(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Let both talk until neither has anything to say; gives the responses."""
        began = len(self.client.received)
        while True:
            while self.to_server:
                self.hear(self.to_server.popleft())
            responses = self.session.poll(self.now_s, heavy=self.heavy)
            for response in responses:
                self.to_server.extend(self.client.take(response))
            if not responses and not self.to_server:
                return self.client.received[began:]

    def hear(self, request: Any) -> None:
        """Let the session take a request."""
        nack = self.session.receive(request, self.now_s)
        if nack is not None:
            self.nacks.append(nack)


def web(name: str = "web", address: str = "10.96.0.1", **said: Any) -> model.Service:
    """Give a Service in front of the pod."""
    return given.service(name, [WEB], address=address, **said)


def test_a_proxy_is_told_everything_in_the_order_that_it_needs() -> None:
    """Clusters, endpoints, listeners, routes; then it is synced."""
    talk = Talk()
    talk.offer(web())
    assert ["cds", "eds", "lds", "rds"] == [kind for kind, _, _ in talk.settle()]
    assert talk.session.synced
    assert "outbound|80|shop/web" in talk.client.names(resource.CLUSTER)


def test_nothing_is_said_before_there_is_a_snapshot() -> None:
    """A pod that is not known yet: its proxy waits."""
    talk = Talk()
    assert [] == talk.settle()
    assert not talk.session.synced


def test_nothing_is_said_when_nothing_changed() -> None:
    """A new revision that makes no difference to this proxy is silent."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.offer(web())
    assert [] == talk.settle()
    assert talk.session.synced


def test_listeners_wait_for_the_endpoints_of_new_clusters() -> None:
    """Envoy would otherwise answer 503 for a moment."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.offer(web(), web("new", "10.96.0.2"))
    said = [kind for kind, names, _ in talk.settle() if any("new" in name for name in names)]
    assert ["cds", "eds", "lds", "rds"] == said


def test_a_cluster_is_taken_away_after_the_listener_that_led_to_it() -> None:
    """Make before break, the other way round."""
    talk = Talk()
    talk.offer(web(), web("old", "10.96.0.2"))
    talk.settle()
    talk.offer(web())
    gone = [(kind, removed) for kind, _, removed in talk.settle() if removed]
    assert [("lds", ("outbound|80|shop/old|10.96.0.2",)), ("cds", ("outbound|80|shop/old",))] == gone
    assert talk.session.synced


def test_a_service_that_comes_back_at_once_is_not_taken_away() -> None:
    """Its cluster is needed again before its removal was sent."""
    talk = Talk()
    talk.offer(web(), web("old", "10.96.0.2"))
    talk.settle()
    talk.offer(web())
    (listeners,) = talk.session.poll(talk.now_s)
    talk.offer(web(), web("old", "10.96.0.2"))
    talk.to_server.extend(talk.client.take(listeners))
    talk.settle()
    assert "outbound|80|shop/old" in talk.client.names(resource.CLUSTER)
    assert talk.session.synced


def test_a_reconnected_proxy_is_told_differences_only() -> None:
    """It comes with its versions; a control plane that was restarted makes the same ones."""
    before = Talk()
    before.offer(web())
    before.settle()
    after = Talk(before.client)
    after.offer(web())
    assert [] == after.settle()
    assert after.session.synced
    changed = Talk(before.client)
    changed.offer(web(), web("new", "10.96.0.2"))
    names = {name for _, names, _ in changed.settle() for name in names}
    assert names
    assert all("new" in name for name in names)


def test_what_vanished_meanwhile_is_taken_away_after_a_reconnection() -> None:
    """The proxy still has it, and says so."""
    before = Talk()
    before.offer(web(), web("old", "10.96.0.2"))
    before.settle()
    after = Talk(before.client)
    after.offer(web())
    after.settle()
    assert not any("old" in name for kind in resource.TYPES for name in after.client.names(kind))


def test_what_is_heavy_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is told; and a cluster is not taken away under a listener that was to change first."""
    monkeypatch.setattr(session, "HEAVY", 0)
    talk = Talk()
    talk.heavy = False
    talk.offer(web())
    assert ["cds", "eds", "lds", "rds"] == [kind for kind, _, _ in talk.settle()]  # the first time there is no waiting
    talk.offer(web(protocol=model.Protocol.OPAQUE), web("next", "10.96.0.2"))
    assert ["cds", "eds"] == [kind for kind, _, _ in talk.settle()]
    assert talk.session.owes
    assert not talk.session.synced
    talk.heavy = True
    ((_, names, _),) = (each for each in talk.settle() if each[0] == "lds")
    assert "outbound|80|shop/next|10.96.0.2" in names
    assert talk.session.synced
    assert not talk.session.owes


def test_a_refused_response_is_told_of_and_not_sent_again() -> None:
    """The reason is Envoy's own; the next change of the resource is sent, and heals it."""
    talk = Talk(xds_client.Client(refuses="outbound|80|shop/web|10.96.0.1"))
    talk.offer(web())
    talk.settle()
    (nack,) = talk.nacks
    assert (resource.LISTENER, "outbound|80|shop/web|10.96.0.1 is not accepted") == (nack.kind, nack.reason)
    assert {"lds": nack.reason} == talk.session.refused
    assert not talk.session.synced
    assert [] == talk.settle()
    talk.client.refuses = ""
    talk.offer(web(protocol=model.Protocol.OPAQUE))
    talk.settle()
    assert talk.session.synced
    assert 1 == talk.session.nacks


def test_what_was_refused_stays_so_while_other_things_are_accepted() -> None:
    """Until it is replaced, or nobody is to have it any more."""
    talk = Talk(xds_client.Client(refuses="outbound|80|shop/web|10.96.0.1"))
    talk.offer(web())
    talk.settle()
    reason = talk.session.refused["lds"]
    talk.client.refuses = ""
    talk.offer(web(), web("next", "10.96.0.2"))
    assert "lds" in [kind for kind, _, _ in talk.settle()]
    assert {"lds": reason} == talk.session.refused
    assert not talk.session.synced
    talk.offer(web("next", "10.96.0.2"))
    talk.settle()
    assert {} == talk.session.refused
    assert talk.session.synced


def test_what_one_proxy_can_make_us_keep_is_bounded() -> None:
    """Names by their number and their length, a reason by its length."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    long = discovery_pb2.DeltaDiscoveryRequest(type_url=resource.ENDPOINT)
    for number in range(9):
        long.resource_names_subscribe.append(f"{number}" * (1 << 20))
    with pytest.raises(session.BrokenProtocol, match="8388608 characters"):
        talk.hear(long)
    talk.offer(web("next", "10.96.0.2"))
    (response, *_) = talk.session.poll(talk.now_s)
    refusal = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
    refusal.error_detail.message = "x" * (1 << 20)
    talk.hear(refusal)
    assert ["x" * session.MAX_REASON] == [each.reason for each in talk.nacks]
    assert {"x" * session.MAX_REASON} == set(talk.session.refused.values())


def test_a_refused_cluster_does_not_keep_listeners_waiting() -> None:
    """What waits may be a policy."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.client.refuses = "outbound|80|shop/new"
    talk.offer(web(), web("new", "10.96.0.2"))
    responses = talk.session.poll(talk.now_s)
    for response in responses:
        (refusal,) = talk.client.take(response)
        talk.hear(refusal)
    (listeners,) = talk.session.poll(talk.now_s)
    assert resource.LISTENER == listeners.type_url


def test_listeners_do_not_wait_for_ever() -> None:
    """A proxy that never asks for the endpoints of a new cluster gets its listeners all the same, and it shows."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.offer(web(), web("new", "10.96.0.2"))
    (clusters,) = talk.session.poll(talk.now_s)
    acknowledgement, *_ = talk.client.take(clusters)
    talk.hear(acknowledgement)
    assert [] == talk.session.poll(talk.now_s)
    deadline_s = talk.session.deadline_s
    assert deadline_s is not None
    (listeners,) = talk.session.poll(deadline_s)
    assert resource.LISTENER == listeners.type_url
    assert (1, None) == (talk.session.unwarmed, talk.session.deadline_s)


def test_one_response_of_a_type_is_under_way_at_a_time() -> None:
    """A slow proxy gets the latest when it is ready, and nothing of what was in between."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    ports = [9000 + number for number in range(7)]
    sent = []
    for port in ports:
        talk.offer(web(port=80, target=port))
        sent += [each for each in talk.session.poll(talk.now_s) if each.type_url == resource.ENDPOINT]
    assert 1 == len(sent)
    talk.to_server.extend(talk.client.take(sent[0]))
    talk.settle()
    cluster = talk.client.message(resource.CLUSTER, "outbound|80|shop/web")
    endpoints = talk.client.message(resource.ENDPOINT, cluster.eds_cluster_config.service_name)
    assert ports[-1] == endpoints.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value


def test_a_name_that_does_not_exist_is_answered_as_removed() -> None:
    """So the proxy need not wait for it."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.hear(
        discovery_pb2.DeltaDiscoveryRequest(type_url=resource.ENDPOINT, resource_names_subscribe=["outbound|1|a/b@0"])
    )
    (response,) = talk.session.poll(talk.now_s)
    assert ["outbound|1|a/b@0"] == list(response.removed_resources)


def test_a_name_that_is_asked_for_again_is_sent_again() -> None:
    """As the protocol says: the proxy may have forgotten it."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    (name,) = talk.client.names(resource.ENDPOINT)
    talk.hear(discovery_pb2.DeltaDiscoveryRequest(type_url=resource.ENDPOINT, resource_names_subscribe=[name]))
    (response,) = talk.session.poll(talk.now_s)
    assert [name] == [each.name for each in response.resources]


def test_an_answer_to_an_older_response_is_not_an_answer_to_the_last() -> None:
    """Nonces that do not match are passed over."""
    talk = Talk()
    talk.offer(web())
    talk.settle()
    talk.hear(discovery_pb2.DeltaDiscoveryRequest(type_url=resource.CLUSTER, response_nonce="0"))
    assert talk.session.synced


def test_a_wildcard_may_be_spelled_out_and_taken_back() -> None:
    """As newer clients do."""
    client = xds_client.Client()
    talk = Talk(client)
    talk.to_server.clear()
    talk.offer(web())
    talk.hear(discovery_pb2.DeltaDiscoveryRequest(type_url=resource.CLUSTER, resource_names_subscribe=["*"]))
    (response,) = talk.session.poll(talk.now_s)
    assert 5 < len(response.resources)
    talk.hear(
        discovery_pb2.DeltaDiscoveryRequest(
            type_url=resource.CLUSTER, response_nonce=response.nonce, resource_names_unsubscribe=["*"]
        )
    )
    talk.offer(web(), web("new", "10.96.0.2"))
    assert [] == talk.session.poll(talk.now_s)


@pytest.mark.parametrize("kind", ["", "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"])
def test_a_type_that_is_not_served_ends_the_stream(kind: str) -> None:
    """Keys and certificates least of all: those never leave the pod."""
    with pytest.raises(session.BrokenProtocol):
        Talk().hear(discovery_pb2.DeltaDiscoveryRequest(type_url=kind))


def test_who_asks_for_too_much_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are memory."""
    monkeypatch.setattr(session, "MAX_NAMES", 3)
    names = [f"name {number}" for number in range(5)]
    with pytest.raises(session.BrokenProtocol):
        Talk().hear(discovery_pb2.DeltaDiscoveryRequest(type_url=resource.ENDPOINT, resource_names_subscribe=names))


def test_a_snapshot_is_a_value() -> None:
    """Nobody can change what others are being told."""
    talk = Talk()
    talk.offer(web())
    latest = talk.session._latest
    assert latest is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        latest.revision = 2  # type: ignore[misc]  # that it is refused is the test
