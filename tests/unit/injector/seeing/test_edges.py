"""Who talks to whom, out of counters. Leaves out how the counters were read: ``test_measured``."""

import dataclasses
from typing import Any

import pytest

from injector.cluster import model as cluster
from injector.discovery import naming
from injector.seeing import edges, measured
from ipseity import identity
from tests.fakes import policies
from tests.unit.injector.seeing import test_measured

CLIENT, WEB = policies.pod("client"), policies.pod("web")
OLD = policies.pod("legacy-0", meshed=False)


def service(name: str, *endpoints: cluster.Endpoint) -> cluster.Service:
    port = cluster.ServicePort(name="", port=80, target=80, protocol=cluster.Protocol.HTTP)
    return cluster.Service(
        namespace="shop", name=name, addresses=(), ports=(port,), endpoints={"": endpoints} if endpoints else {}
    )


def endpoint(pod: cluster.Pod | None, account: Any = None) -> cluster.Endpoint:
    return cluster.Endpoint(address="10.7.0.9", port=80, pod=pod.ref if pod else None, account=account)


LEGACY = service("legacy", endpoint(OLD))
STATE = policies.state(CLIENT, WEB, OLD, services=(LEGACY,))


def of(**peers: int) -> measured.Measured:
    """Give a proxy that was called by accounts (``_`` stands for ``/``), so many times."""
    return measured.Measured(
        inbound={
            naming.Peer("80", name.replace("_", "/")): measured.Served(connections=count)
            for name, count in peers.items()
        },
        outbound={},
    )


def calling(name: str, **counts: int) -> measured.Measured:
    return measured.Measured(inbound={}, outbound={name: measured.Called(**counts)})


def test_a_secured_edge_has_both_identities() -> None:
    """The called proxy has seen the certificate; the account leads to the workload that alone has it."""
    (edge,) = edges.edges(STATE, {WEB.ref: of(shop_client=3)}, namespace="shop")
    assert (
        edges.Edge(
            source="shop/client",
            destination="shop/web",
            port="80",
            secured=edges.Secured.MTLS,
            source_identity="spiffe://cluster.local/ns/shop/sa/client",
            destination_identity="spiffe://cluster.local/ns/shop/sa/web",
            why="",
            connections=3,
        )
        == edge
    )


def test_an_account_of_several_workloads_stays_an_account() -> None:
    """Nobody is guessed."""
    shared = [policies.pod(name, account=identity.ServiceAccount("shop", "default")) for name in ("a", "b")]
    state = policies.state(*shared, WEB)
    (edge,) = edges.edges(state, {WEB.ref: of(shop_default=1)}, namespace="")
    assert "shop/sa/default" == edge.source


def test_pods_of_a_workload_are_one_end() -> None:
    """Their connections add up."""
    more = [policies.pod(f"web-{n}", workload="deployment/web", account=WEB.account) for n in (1, 2)]
    state = policies.state(CLIENT, *more)
    (edge,) = edges.edges(state, {pod.ref: of(shop_client=3) for pod in more}, namespace="")
    assert ("shop/web", 6) == (edge.destination, edge.connections)


def test_plaintext_has_no_name_at_the_called_end() -> None:
    """And one at the calling end, with the reason."""
    found = edges.edges(
        STATE,
        {WEB.ref: of(**{"-": 2}), CLIENT.ref: calling("outbound|80|shop/legacy", connections=11, failed=1)},
        namespace="",
    )
    assert [
        ("(no sidecar)", "shop/web", "the caller proves nothing", 2),
        ("shop/client", "shop/legacy", "not injected: shop/legacy-0", 10),
    ] == [(each.source, each.destination, each.why, each.connections) for each in found]
    assert {edges.Secured.PLAIN} == {each.secured for each in found}


@pytest.mark.parametrize(
    ("pod", "endpoints", "why"),
    [
        (OLD, [endpoint(OLD)], "not injected: shop/legacy-0"),
        (WEB, [endpoint(WEB)], "port skipped: shop/web"),
        (WEB, [endpoint(WEB, WEB.account)], "all endpoints are meshed by now"),
        (OLD, [endpoint(None)], "endpoints are no pods of this cluster"),
        (OLD, [], "it has no endpoint now"),
    ],
)
def test_plaintext_says_why(pod: cluster.Pod, endpoints: Any, why: str) -> None:
    """As far as it shows from the cluster as it is now."""
    state = policies.state(CLIENT, pod, services=(service("legacy", *endpoints),))
    (edge,) = edges.edges(state, {CLIENT.ref: calling("outbound|80|shop/legacy", connections=1)}, namespace="")
    assert why == edge.why


def test_what_is_not_known_and_what_was_refused_are_rows_too() -> None:
    """Nothing that left a pod is left out; a connection by mTLS is told by the other end."""
    read = measured.Measured(
        inbound={},
        outbound={
            naming.PASSTHROUGH: measured.Called(connections=5),
            naming.REFUSED: measured.Called(connections=2, failed=2),
            "outbound|80|shop/web": measured.Called(connections=4, secured=4),
            "outbound|80|shop/gone": measured.Called(connections=1),
        },
    )
    assert [("(not known)", 5), ("(refused)", 2), ("shop/gone", 1)] == [
        (each.destination, each.connections) for each in edges.edges(STATE, {CLIENT.ref: read}, namespace="")
    ]


def test_a_proven_identity_without_a_chain_of_its_own_is_secured_and_not_named() -> None:
    """Of those Envoy keeps one counter for all."""
    (edge,) = edges.edges(STATE, {WEB.ref: of(**{"*": 1})}, namespace="")
    assert ("?", edges.Secured.MTLS, "") == (edge.source, edge.secured, edge.source_identity)


def test_a_namespace_has_the_edges_of_either_end() -> None:
    """And no others; a pod that is gone has none."""
    read = {WEB.ref: of(shop_client=1), identity.PodRef("shop", "gone", "u"): of(shop_client=1)}
    assert 1 == len(edges.edges(STATE, read, namespace="shop"))
    assert [] == edges.edges(STATE, read, namespace="sho")


def test_the_table_is_that_of_the_manual() -> None:
    """What is not secured says why in the place of the identity."""
    read = {WEB.ref: of(shop_client=1), CLIENT.ref: calling("outbound|80|shop/legacy", connections=1)}
    ids = "spiffe://cluster.local/ns/shop/sa/client  spiffe://cluster.local/ns/shop/sa/web"
    assert [
        "SRC          DST          PORT  SECURED  SRC IDENTITY                              DST IDENTITY",
        "shop/client  shop/legacy    80  plain    not injected: shop/legacy-0               -",
        f"shop/client  shop/web       80  mTLS     {ids}",
    ] == edges.lines(edges.edges(STATE, read, namespace="shop"), width=None, colour=False)


def test_programs_get_every_edge() -> None:
    """From what a real Envoy wrote."""
    found = edges.document(edges.edges(STATE, {WEB.ref: test_measured.AFTER}, namespace=""))["edges"]
    secured = [each for each in found if each["secured"] == "mTLS"]
    assert {("shop/client", "8080"), ("shop/client", "5432")} == {(each["source"], each["port"]) for each in secured}
    assert dataclasses.fields(edges.Edge)[0].name in found[0]
