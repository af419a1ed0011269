"""What a proxy is told: chains, clusters, endpoints, and what a change leaves byte for byte as it was.

Leaves out Envoy's opinion (``tests/sim/injector/test_snapshots_valid``) and the wire (``tests/functional``).
"""

import dataclasses
from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from structlog import testing

from injector import annotations
from injector.cluster import model
from injector.discovery import consistency, naming, resource, settings, snapshot, world
from injector.policy import model as policy
from injector.routes import attach
from ipseity import identity
from tests.fakes import clusters as given

CONFIG = settings.Settings(trust_domain=given.TRUST_DOMAIN)
WEB, CLIENT, OTHER = given.pod(1), given.pod(2, "client"), given.pod(3, "other", meshed=False)


def told(
    pods: list[model.Pod],
    services: list[model.Service],
    policies: tuple[policy.AuthorizationPolicy, ...] = (),
    *,
    of: model.Pod = WEB,
    maker: snapshot.Maker | None = None,
) -> snapshot.Snapshot:
    """Make the snapshot of one pod, which must be consistent."""
    maker = maker or snapshot.Maker(CONFIG)
    made = maker.snapshot(maker.update(given.state(pods, services), policies), of)
    assert () == consistency.faults(made)
    return made


def message(made: snapshot.Snapshot, kind: str, name: str) -> Any:
    """Read back one resource."""
    found = made.get(kind, name)
    assert found is not None, [each.name for each in made.all(kind)]
    return consistency.decode(kind, found)


def chains(made: snapshot.Snapshot, name: str = naming.INBOUND_LISTENER) -> dict[str, bytes]:
    """Give the chains of a listener by name, serialized."""
    listener = message(made, resource.LISTENER, name)
    return {each.name: each.SerializeToString(deterministic=True) for each in listener.filter_chains}


def admits(*names: str) -> policy.AuthorizationPolicy:
    """Admit accounts to all pods of the namespace."""
    rule = policy.Rule(sources=tuple(policy.Account(given.who(name)) for name in names))
    return policy.AuthorizationPolicy(
        namespace="shop", name="only", action=policy.Action.ALLOW, selector=(), rules=(rule,)
    )


def tls_of(socket: Any) -> Any:
    """Read the client's side of a TLS socket."""
    return tls_pb2.UpstreamTlsContext.FromString(socket.typed_config.value)


def test_an_endpoint_is_told_with_whom_to_expect_and_the_cluster_has_a_way_to_exactly_that() -> None:
    """One SPIFFE ID by TLS 1.3 and nothing else; plaintext only to who is marked as such."""
    made = told([WEB, OTHER], [given.service("web", [WEB, OTHER])])
    cluster = message(made, resource.CLUSTER, "outbound|80|shop/web")
    assert ["mtls|shop/web", "plaintext"] == [each.name for each in cluster.transport_socket_matches]
    context = tls_of(cluster.transport_socket_matches[0].transport_socket)
    validation = context.common_tls_context.combined_validation_context.default_validation_context
    assert [str(given.who("web"))] == [each.matcher.exact for each in validation.match_typed_subject_alt_names]
    assert (4, 4) == (
        context.common_tls_context.tls_params.tls_minimum_protocol_version,
        context.common_tls_context.tls_params.tls_maximum_protocol_version,
    )
    endpoints = message(made, resource.ENDPOINT, cluster.eds_cluster_config.service_name)
    marks = [
        each.metadata.filter_metadata["envoy.transport_socket_match"]["account"]
        for each in endpoints.endpoints[0].lb_endpoints
    ]
    assert ["shop/web", "plaintext"] == marks


def test_the_caller_is_in_the_server_name_of_what_is_sent_and_not_in_what_is_shared() -> None:
    """The hole is filled when a response is made; the length stays."""
    made = told([WEB], [given.service("web", [WEB])])
    cluster = made.get(resource.CLUSTER, "outbound|80|shop/web")
    assert cluster is not None
    sent = consistency.decode(resource.CLUSTER, dataclasses.replace(cluster, body=cluster.fill(made.caller)))
    tag = f"{identity.identity_tag(given.who('web')):016x}"
    assert f"{tag}.ipseity" == tls_of(sent.transport_socket_matches[0].transport_socket).sni
    assert len(cluster.body) == len(cluster.fill(made.caller))


def test_a_new_account_behind_a_service_asks_for_its_endpoints_by_a_new_name() -> None:
    """So the cluster of a moment ago never hears of endpoints that it has no way to."""
    before = told([WEB, CLIENT], [given.service("web", [WEB])])
    after = told([WEB, CLIENT], [given.service("web", [WEB, CLIENT])])
    asked = [
        message(made, resource.CLUSTER, "outbound|80|shop/web").eds_cluster_config.service_name
        for made in (before, after)
    ]
    assert asked[0] != asked[1]


def test_another_endpoint_of_the_same_account_changes_endpoints_only() -> None:
    """The most frequent change is the smallest."""
    maker = snapshot.Maker(CONFIG)
    more = given.pod(9, ports=WEB.ports)
    pods = [WEB, CLIENT, more]
    before = told(pods, [given.service("web", [WEB])], of=CLIENT, maker=maker)
    after = told(pods, [given.service("web", [WEB, more])], of=CLIENT, maker=maker)
    changed = {kind: len(snapshot.changed(kind, before, after)) for kind in resource.TYPES}
    assert {resource.CLUSTER: 0, resource.ENDPOINT: 1, resource.LISTENER: 0, resource.ROUTE: 0} == changed


def test_endings_get_nothing_new_while_others_are_ready() -> None:
    """They are left out, so Envoy finishes what runs; where nobody else is there, they serve on."""
    service = given.service("web", [WEB, given.pod(9)])
    ready, other = service.endpoints[""]
    ending = dataclasses.replace(other, draining=True)
    for expected, there in ((1, (ready, ending)), (1, (ending,)), (0, ())):
        changed = dataclasses.replace(service, endpoints={"": there})
        made = told([WEB], [changed])
        cluster = message(made, resource.CLUSTER, "outbound|80|shop/web")
        found = message(made, resource.ENDPOINT, cluster.eds_cluster_config.service_name)
        assert expected == len(found.endpoints[0].lb_endpoints)


def test_strict_proxies_are_not_told_of_plaintext() -> None:
    """No endpoint without mTLS, no way through for what nobody knows."""
    strict = given.pod(1, outbound=annotations.OutboundMode.STRICT)
    made = told([strict, OTHER], [given.service("web", [strict, OTHER])], of=strict)
    cluster = message(made, resource.CLUSTER, "outbound|80|shop/web")
    found = message(made, resource.ENDPOINT, cluster.eds_cluster_config.service_name)
    assert 1 == len(found.endpoints[0].lb_endpoints)
    assert naming.PASSTHROUGH.encode() not in chains(made, naming.OUTBOUND_LISTENER)["unknown"]


def test_each_admitted_identity_has_a_chain_of_its_own_on_each_port() -> None:
    """HTTP where it is said so, both where nobody said, and bytes for all other ports."""
    made = told([WEB, CLIENT, OTHER], [])
    tags = [f"{identity.identity_tag(given.who(name)):016x}" for name in ("web", "client")]
    assert {f"8080|http|{tag}" for tag in tags} <= chains(made).keys()
    assert {f"7000|{kind}|{tag}" for tag in tags for kind in ("http", "tcp")} <= chains(made).keys()
    assert not any(name.startswith("8080|tcp") and name[-1] != "-" for name in chains(made))


def test_a_policy_changes_the_chains_of_those_that_it_is_about_and_no_other() -> None:
    """Envoy cuts the connections of chains that are gone or changed: nobody's who is admitted before and after."""
    maker = snapshot.Maker(CONFIG)
    pods = [WEB, CLIENT, given.pod(4, "friend")]
    before = chains(told(pods, [], maker=maker))
    after = chains(told(pods, [], (admits("friend"),), maker=maker))
    friend, client = (f"{identity.identity_tag(given.who(name)):016x}" for name in ("friend", "client"))
    own = [name for name in before if name.endswith(friend)]
    assert own
    assert all(before[name] == after[name] for name in own)
    assert [] == [name for name in after if name.endswith(client)]
    more = chains(told(pods, [], (admits("friend", "web"),), maker=maker))
    assert all(after[name] == more[name] for name in own)


def test_pods_and_services_come_and_go_without_changing_chains_that_stay() -> None:
    """Also those of the listener that everything goes out by, whose table is in the matcher."""
    maker = snapshot.Maker(CONFIG)
    before = told([WEB, CLIENT], [given.service("web", [WEB])], maker=maker)
    stranger = given.pod(5, "stranger")
    services = [given.service("web", [WEB]), given.service("new", [stranger], address="10.96.0.2")]
    after = told([WEB, CLIENT, stranger], services, maker=maker)
    for listener in (naming.INBOUND_LISTENER, naming.OUTBOUND_LISTENER, "outbound|80|shop/web|10.96.0.1"):
        old, new = chains(before, listener), chains(after, listener)
        assert all(new[name] == content for name, content in old.items())


def test_nothing_of_a_listener_but_its_chains_and_matcher_depends_on_the_cluster() -> None:
    """Anything else that changes makes Envoy replace the listener and cut all its connections."""
    maker = snapshot.Maker(CONFIG)
    seen = set()
    for pods, services in (
        ([WEB], []),
        ([WEB, CLIENT], [given.service("web", [WEB], protocol=model.Protocol.OPAQUE)]),
        ([WEB, CLIENT, OTHER], [given.service("web", [WEB], protocol=model.Protocol.DETECT)]),
    ):
        made = told(pods, services, (admits("client"),) if services else (), maker=maker)
        for name in (naming.INBOUND_LISTENER, naming.OUTBOUND_LISTENER):
            listener = message(made, resource.LISTENER, name)
            for field in ("filter_chains", "filter_chain_matcher"):
                listener.ClearField(field)
            seen.add(listener.SerializeToString(deterministic=True))
    assert 2 == len(seen)


@pytest.mark.parametrize(
    ("expected", "protocol"),
    [
        ({"http"}, model.Protocol.HTTP),
        ({"http"}, model.Protocol.HTTP2),
        ({"tcp"}, model.Protocol.OPAQUE),
        ({"http", "tcp"}, model.Protocol.DETECT),
    ],
)
def test_a_service_port_is_listened_to_as_it_speaks(expected: set[str], protocol: model.Protocol) -> None:
    """Only where nobody said what is spoken are the client's first bytes waited for."""
    made = told([WEB], [given.service("web", [WEB], protocol=protocol)])
    listener = message(made, resource.LISTENER, "outbound|80|shop/web|10.96.0.1")
    assert expected == {each.name for each in listener.filter_chains}
    assert (protocol is model.Protocol.DETECT) == bool(listener.listener_filters)
    assert (protocol is model.Protocol.OPAQUE) == (made.get(resource.ROUTE, "outbound|80|shop/web") is None)


def test_plaintext_is_refused_where_an_identity_is_needed_but_for_probes() -> None:
    """Strict: no chain for bytes without TLS; HTTP without TLS is judged, and probes pass."""
    probed = given.pod(1, inbound=annotations.InboundMode.STRICT, probes=(model.HttpProbe(port=8080, path="/live"),))
    found = chains(told([probed], [], of=probed))
    assert "8080|http|-" in found
    assert [] == [name for name in found if name.endswith("|tcp|-")]


def test_a_chain_for_https_probes_is_where_foreign_tls_is_refused_and_nowhere_else() -> None:
    """Where plaintext is admitted the application's own TLS is not touched; without such a probe there is no chain."""
    probe = model.HttpProbe(port=8080, path="/live", secured=True)
    strict, open_to_all = annotations.InboundMode.STRICT, annotations.InboundMode.PERMISSIVE
    for mode, probes, expected in ((strict, (probe,), True), (open_to_all, (probe,), False), (strict, (), False)):
        pod = given.pod(1, inbound=mode, probes=probes)
        assert expected is ("8080|https|-" in chains(told([pod], [], of=pod)))


def test_of_too_many_ports_those_have_chains_of_which_somebody_says_something() -> None:
    """A probe, a rule and a Service of the highest numbers come before two hundred that are only declared."""
    declared = tuple(model.PodPort(name="", port=1000 + number, protocol="TCP") for number in range(200))
    pod = given.pod(1, ports=declared, probes=(model.HttpProbe(port=9001, path="/live"),))
    rule = policy.Rule(sources=None, ports=(policy.Ports(9002, 9002),))
    about = policy.AuthorizationPolicy(
        namespace="shop", name="only", action=policy.Action.ALLOW, selector=(), rules=(rule,)
    )
    found = {name.partition("|")[0] for name in chains(told([pod], [given.service("web", [pod])], (about,), of=pod))}
    assert {"1000", "8080", "9001", "9002"} <= found
    assert "1199" not in found


def test_identities_beyond_the_bound_share_a_chain() -> None:
    """The first by name have their own; the others are let in by the common one."""
    few = dataclasses.replace(CONFIG, max_identities=3)
    pods = [given.pod(number, f"account{number}") for number in range(7)]
    made = told(pods, [], of=pods[0], maker=snapshot.Maker(few))
    own = [name for name in chains(made) if name.startswith("8080|http|") and name[-1] not in "*-"]
    assert 3 == len(own)


def test_a_headless_service_and_a_bare_pod_are_reached_by_mtls_at_their_own_addresses() -> None:
    """There is no listener for them: the table of pods leads to the account's cluster, with the port's protocol."""
    made = told([WEB, CLIENT], [given.service("web", [WEB], address="", protocol=model.Protocol.HTTP)])
    assert {"direct|shop/web", "direct|shop/web|http", "direct|shop/client"} <= chains(made, "outbound").keys()
    assert [naming.INBOUND_LISTENER, naming.OUTBOUND_LISTENER] == sorted(
        each.name for each in made.all(resource.LISTENER)
    )


def test_how_a_pod_is_reached_follows_the_services_behind_it() -> None:
    """Step by step as at once: with two addresses, a Service that changes its mind, and goes, and a pod without one."""
    pod = given.pod(1, addresses=("10.244.0.2", "fd00::2"))
    pods = [pod, CLIENT, given.pod(4, "bare")]
    service = given.service("web", [pod], target=7000, port=7000)
    opaque = given.service("web", [pod], target=7000, port=7000, protocol=model.Protocol.OPAQUE)
    maker, seen = snapshot.Maker(CONFIG), set()
    for services in ([service], [opaque], [], [service]):
        found = told(pods, services, of=CLIENT, maker=maker).get(resource.LISTENER, naming.OUTBOUND_LISTENER)
        assert told(pods, services, of=CLIENT).get(resource.LISTENER, naming.OUTBOUND_LISTENER) == found
        seen.add(found)
    assert 2 <= len(seen)


def test_two_services_that_want_one_address_are_told_as_one() -> None:
    """The first by name; a listener twice would be refused by every proxy."""
    maker = snapshot.Maker(CONFIG)
    services = [given.service("b", [WEB]), given.service("a", [WEB])]
    world = maker.update(given.state([WEB], services), ())
    assert ("outbound|80|shop/b|10.96.0.1",) == world.shadowed
    assert () == consistency.faults(maker.snapshot(world, WEB))


def test_replicas_share_a_listener_while_the_same_is_decided_about_them() -> None:
    """And a restarted control plane makes the same bytes, so nothing is sent again."""
    maker = snapshot.Maker(CONFIG)
    twin = given.pod(8, labels=WEB.labels)
    first = told([WEB, twin], [given.service("web", [WEB, twin])], maker=maker)
    second = told([WEB, twin], [given.service("web", [WEB, twin])], of=twin, maker=maker)
    assert first.get(resource.LISTENER, "inbound") is second.get(resource.LISTENER, "inbound")
    again = told([WEB, twin], [given.service("web", [WEB, twin])])
    for kind in resource.TYPES:
        assert {each.name: each.version for each in first.all(kind)} == {
            each.name: each.version for each in again.all(kind)
        }


def test_a_service_that_did_not_change_costs_nothing() -> None:
    """Tables in which nothing changed are the very same objects."""
    maker = snapshot.Maker(CONFIG)
    service = given.service("web", [WEB])
    first = maker.update(given.state([WEB], [service]), ())
    second = maker.update(given.state([WEB, OTHER], [service], revision=2), ())
    kinds = [kind for kind in first.layers if first.layers[kind] != second.layers[kind]]
    assert [] == kinds
    for kind, layer in first.layers.items():
        assert all(layer[each] is second.layers[kind][each] for each in resource.TYPES)


def test_a_service_that_cannot_be_made_stays_as_it_was_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours in one of them is said once, and is over when it is over."""
    maker = snapshot.Maker(CONFIG)
    web, other = given.service("web", [WEB]), given.service("other", [OTHER])
    first = maker.update(given.state([WEB, OTHER], [web]), ())
    real = world.clusters.service

    def broken(item: model.Service, *more: Any) -> resource.Resource:
        if item.name in {"web", "fresh"}:
            raise RuntimeError(item.name)
        return real(item, *more)

    monkeypatch.setattr(world.clusters, "service", broken)
    changed = given.service("web", [WEB], port=81)
    services = [changed, other, given.service("fresh", [WEB], address="10.96.0.9")]
    with testing.capture_logs() as said:
        for revision in (2, 3):
            now = maker.update(given.state([WEB, OTHER], services, revision=revision), ())
    assert {"shop/web", "shop/fresh"} == now.failing
    assert ["shop/fresh", "shop/web"] == [each["service"] for each in said]
    assert now.parts["shop/web"] is first.parts["shop/web"]
    assert now.parts["shop/other"].clusters
    assert () == consistency.faults(maker.snapshot(now, WEB))
    monkeypatch.undo()
    healed = maker.update(given.state([WEB, OTHER], services, revision=4), ())
    assert frozenset() == healed.failing
    assert all(healed.parts[each.key].clusters and healed.parts[each.key].source is each for each in services)


def test_a_consumers_route_that_cannot_be_made_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the clients of its namespace; one that never was is left out."""
    maker, state = snapshot.Maker(CONFIG), given.state([WEB], [given.service("web", [WEB])])
    key = ("shop/web", 80)
    first = maker.update(state, (), attach.Attached(consumed={"billing": {key: ()}}))

    def broken(*_: Any, **__: Any) -> resource.Resource:
        raise RuntimeError

    monkeypatch.setattr(world.routing, "route", broken)
    now = maker.update(state, (), attach.Attached(consumed={"billing": {key: ()}, "till": {key: ()}}))
    assert {"billing": first.consumed["billing"], "till": {}} == now.consumed
    assert {"shop/web"} == now.failing


def test_a_proxy_from_before_there_were_taps_is_told_of_none() -> None:
    """It would refuse a listener that refers to what it was not started with; all else is the same for it."""
    maker = snapshot.Maker(CONFIG)
    state = given.state([WEB, CLIENT], [given.service("web", [WEB]), given.service("db", [WEB])])
    now = maker.update(state, ())
    new, old = maker.snapshot(now, WEB), maker.snapshot(now, WEB, taps=False)
    assert () == consistency.faults(old)
    with_taps = {each.name for each in new.all(resource.LISTENER) if b"ipseity.tap" in each.body}
    assert naming.INBOUND_LISTENER in with_taps
    assert set() == {each.name for each in old.all(resource.LISTENER) if b"ipseity.tap" in each.body}
    assert [each.needs for each in new.all(resource.LISTENER)] == [each.needs for each in old.all(resource.LISTENER)]
    for kind in (resource.CLUSTER, resource.ENDPOINT, resource.ROUTE):
        assert list(new.all(kind)) == list(old.all(kind))


def test_it_is_told_only_of_what_has_changed() -> None:
    """The same tables while nothing has."""
    maker = snapshot.Maker(CONFIG)
    state = given.state([WEB, CLIENT], [given.service("web", [WEB])])
    old = maker.snapshot(maker.update(state, ()), WEB, taps=False)
    again = maker.snapshot(maker.update(dataclasses.replace(state, revision=2), ()), WEB, taps=False)
    assert frozenset() == snapshot.changed(resource.LISTENER, old, again)
    assert old.shared[resource.LISTENER] is again.shared[resource.LISTENER]
