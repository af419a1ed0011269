"""Who is meant by a name. Leaves out what is answered about them: ``test_explain``."""

from typing import Any

import pytest

from injector import errors
from injector.cluster import model as cluster
from injector.policy import subjects
from ipseity import identity
from tests.fakes import policies

PORTS = (cluster.PodPort(name="pg", port=5432), cluster.PodPort(name="metrics", port=9187))
DB = [
    policies.pod(f"db-{n}", workload="statefulset/db", account=identity.ServiceAccount("shop", "database"), ports=PORTS)
    for n in (0, 1)
]
WEB = policies.pod("web-7d4-x", workload="deployment/web", account=identity.ServiceAccount("shop", "web"))
ENDPOINTS = tuple(cluster.Endpoint(address=f"10.7.0.{n}", port=5432, pod=pod.ref) for n, pod in enumerate(DB))
STORE = cluster.Service(
    namespace="shop",
    name="store",
    addresses=("10.96.0.9",),
    ports=(cluster.ServicePort(name="", port=80, target="pg", protocol=cluster.Protocol.OPAQUE),),
    endpoints={"": ENDPOINTS},
)
EMPTY = cluster.Service(
    namespace="shop",
    name="empty",
    addresses=(),
    ports=(cluster.ServicePort(name="", port=80, target=80, protocol=cluster.Protocol.HTTP),),
    endpoints={},
)
STATE = policies.state(*DB, WEB, services=(STORE, EMPTY))


def found(text: str) -> list[tuple[str, int]]:
    return [(each.pod.ref.name, each.port) for each in subjects.targets(STATE, text, "shop")]


@pytest.mark.parametrize(
    ("text", "pods"),
    [
        ("shop/db-1:5432", [("db-1", 5432)]),
        ("db-1:5432", [("db-1", 5432)]),
        ("shop/db:5432", [("db-0", 5432), ("db-1", 5432)]),
        ("shop/statefulset/db:metrics", [("db-0", 9187), ("db-1", 9187)]),
        ("shop/db-0", [("db-0", 5432), ("db-0", 9187)]),
        ("shop/store:80", [("db-0", 5432), ("db-1", 5432)]),
        ("shop/store", [("db-0", 5432), ("db-1", 5432)]),
        ("shop/database:1", [("db-0", 1), ("db-1", 1)]),
        ("shop/sa/database:1", [("db-0", 1), ("db-1", 1)]),
        ("shop/web:8080", [("web-7d4-x", 8080)]),
    ],
)
def test_a_target_is_a_pod_a_workload_a_service_or_an_account(text: str, pods: Any) -> None:
    """A Service's port is led to the pods' own; without a port it is every one that is declared."""
    assert pods == found(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shop/nobody:80", "there is no pod, workload, Service or service account 'shop/nobody:80'"),
        ("shop/web", "shop/web declares no port"),
        ("shop/db:http", "shop/db declares no port 'http'"),
        ("shop/empty:80", "Service shop/empty has no ready endpoint"),
        ("a/b/c/d", "'a/b/c/d' is no name of anything"),
        ("", "'' is no name of anything"),
        ("shop/DB:80", "'shop/DB' is no name of anything"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(text: str, said: str) -> None:
    """And what there is."""
    with pytest.raises(errors.CannotTell) as caught:
        found(text)
    assert said in str(caught.value)
    assert caught.value.hint


def test_pods_that_are_judged_alike_ask_once() -> None:
    """Of a workload one pod asks for all; two of different accounts are two."""
    (one,) = subjects.sources(STATE, "shop/db", "default")
    assert isinstance(one, cluster.Pod)
    assert (WEB,) == subjects.sources(STATE, "web", "shop")


def test_an_account_and_an_identity_ask_too() -> None:
    """An account that some pod runs as; a SPIFFE ID whether or not anybody has it."""
    assert (policies.who("database"),) == subjects.sources(STATE, "shop/database", "default")
    assert (policies.who("x", "y", "other.org"),) == subjects.sources(STATE, "spiffe://other.org/ns/y/sa/x", "shop")


@pytest.mark.parametrize("text", ["shop/nobody", "spiffe://other.org/x", "shop/pod/web"])
def test_a_caller_that_is_not_there_is_said(text: str) -> None:
    """Nobody is guessed."""
    with pytest.raises(errors.CannotTell):
        subjects.sources(STATE, text, "shop")
