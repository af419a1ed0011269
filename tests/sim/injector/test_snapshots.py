"""Random clusters and policies: each snapshot is consistent, agrees with the verdicts, and Envoy accepts it.

Envoy judges many clusters in one process: their listeners get addresses of their own. Leaves out traffic.
"""

import pathlib
import random
import subprocess
from collections.abc import Iterator

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.core.v3 import config_source_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from injector import annotations
from injector.cluster import model
from injector.discovery import consistency, naming, resource, snapshot, tls
from injector.discovery import settings as discovery
from injector.policy import match
from injector.policy import model as policy
from injector.sidecar import files
from ipseity import identity
from tests import examples
from tests.fakes import authority
from tests.fakes import clusters as fake
from tests.scene import guard

CLUSTERS = 500 if settings().max_examples > 100 else 100
"""The profile ``thorough`` (tests/conftest.py) asks for all of them: make prove WHAT=mesh-properties."""
BATCH = 50
NAMES = ("web", "db", "a.b", "x" * 63, "client")


def cluster(chance: random.Random) -> tuple[model.ClusterState, tuple[policy.AuthorizationPolicy, ...]]:
    """Make a cluster of a few pods and Services of every kind, and a few policies."""
    pods = [_pod(chance, number) for number in range(chance.randint(1, 9))]
    services = []
    for number in range(chance.randint(0, 5)):
        behind = chance.sample(pods, chance.randint(0, len(pods)))
        services.append(
            fake.service(
                f"s{number}",
                behind,
                address=chance.choice(["", f"10.96.{chance.randint(0, 3)}.{number}", f"fd00::{number + 1}"]),
                protocol=chance.choice(list(model.Protocol)),
                port=chance.choice([80, 443, 3306, 15_001]),
                target=chance.choice([8080, 7000, 3306, 65_535]),
            )
        )
    return fake.state(pods, services), tuple(_policy(chance, number) for number in range(chance.randint(0, 3)))


def _pod(chance: random.Random, number: int) -> model.Pod:
    addresses = [(), (f"10.244.0.{number + 1}",), (f"10.244.0.{number + 1}", f"fd00:1::{number + 1}")]
    return fake.pod(
        number,
        chance.choice(NAMES),
        addresses=addresses[2] if chance.random() < 0.5 else chance.choice(addresses[1:]),
        meshed=chance.random() < 0.8,
        inbound=chance.choice(list(annotations.InboundMode)),
        outbound=chance.choice(list(annotations.OutboundMode)),
        probes=tuple(
            model.HttpProbe(port=port, path=path, secured=secured)
            for port, path, secured in (
                (8080, "/live", False),
                (7000, "/grpc.health.v1.Health/Check", False),
                (7000, "/tls", True),
            )
            if chance.random() < 0.5
        ),
        skip_inbound_ports=frozenset(chance.sample([8080, 7000, 22], chance.randint(0, 2))),
        opaque_ports=chance.choice([frozenset(), annotations.DEFAULT_OPAQUE_PORTS, frozenset({8080})]),
    )


def _policy(chance: random.Random, number: int) -> policy.AuthorizationPolicy:
    kinds = [policy.Account(fake.who(name)) for name in NAMES]
    rules = tuple(
        policy.Rule(
            sources=chance.choice([None, (), tuple(chance.sample(kinds, 2))]),
            ports=chance.choice([(), (policy.Ports(8080, 8080),), (policy.Ports(7000, 9000),)]),
        )
        for _ in range(chance.randint(0, 3))
    )
    action = chance.choice(list(policy.Action))
    return policy.AuthorizationPolicy(namespace="shop", name=f"p{number}", action=action, selector=(), rules=rules)


def snapshots(chance: random.Random, config: discovery.Settings) -> Iterator[tuple[model.Pod, snapshot.Snapshot]]:
    """Make the snapshots of all pods of one cluster."""
    state, policies = cluster(chance)
    maker = snapshot.Maker(config)
    made = maker.update(state, policies)
    for pod in state.pods.values():
        yield pod, maker.snapshot(made, pod, ipv6=chance.random() < 0.5)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples.of(60), deadline=None)
def test_every_snapshot_is_consistent_and_the_same_twice(seed: int) -> None:
    """Whatever the cluster: nothing refers to what is not there, and the same cluster makes the same bytes."""
    config = discovery.Settings(trust_domain=fake.TRUST_DOMAIN)
    first = list(snapshots(random.Random(seed), config))
    second = list(snapshots(random.Random(seed), config))
    for (_, made), (_, again) in zip(first, second, strict=True):
        assert () == consistency.faults(made)
        assert all(frozenset() == snapshot.changed(kind, made, again) for kind in resource.TYPES)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples.of(60), deadline=None)
def test_who_is_refused_has_no_chain_and_who_is_admitted_has_one(seed: int) -> None:
    """For every declared port and every identity there is: chains and verdicts say the same."""
    chance = random.Random(seed)
    state, policies = cluster(chance)
    maker = snapshot.Maker(discovery.Settings(trust_domain=fake.TRUST_DOMAIN))
    world = maker.update(state, policies)
    for pod in state.pods.values():
        listener = maker.snapshot(world, pod).get(resource.LISTENER, naming.INBOUND_LISTENER)
        assert listener is not None
        names = {each.name for each in consistency.decode(resource.LISTENER, listener).filter_chains}
        for port in {8080, 7000} - pod.skip_inbound_ports:
            decided = match.inbound(policies, pod, port)
            for who in world.identities:
                own = {name for name in names if name.startswith(f"{port}|") and name.endswith(tls.tag(who))}
                verdict = decided.verdict(who)
                if not verdict.allowed:
                    assert not own
                elif not verdict.audited:
                    assert own
            plain = f"{port}|tcp|-" in names
            assert plain == decided.verdict(None).allowed


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Have the files that a proxy has: certificate, anchors."""
    made = tmp_path_factory.mktemp("workload")
    ca = authority.make()
    key, chain = ca.identity(str(fake.who("web")))
    files.publish_identity(str(made), key, chain, 1)
    files.publish_trust(str(made), ca.bundle, 1)
    return made


@pytest.mark.parametrize("batch", range(CLUSTERS // BATCH))
def test_envoy_accepts_every_snapshot(batch: int, volume: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """``envoy --mode validate`` on generated clusters, fifty in one process."""
    bootstrap = bootstrap_pb2.Bootstrap()
    bootstrap.node.id = bootstrap.node.cluster = "test"
    _ads(bootstrap)
    config = discovery.Settings(trust_domain=fake.TRUST_DOMAIN, workload_dir=str(volume))
    for number in range(BATCH):
        chance = random.Random(batch * BATCH + number)
        _, made = chance.choice(list(snapshots(chance, config)))
        _add(bootstrap, made, number)
    path = tmp_path / "bootstrap.pb"
    path.write_bytes(bootstrap.SerializeToString())
    words = (guard.ENVOY, "--mode", "validate", "--config-path", path, "--component-log-level", "misc:error")
    judged = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 0 == judged.returncode, judged.stderr[-2000:]


def _ads(bootstrap: bootstrap_pb2.Bootstrap) -> None:
    for name in ("xds", "tap"):  # what every proxy is started with
        bootstrap.static_resources.clusters.add(name=name)
    ads = bootstrap.dynamic_resources.ads_config
    ads.api_type = config_source_pb2.ApiConfigSource.DELTA_GRPC
    ads.transport_api_version = config_source_pb2.V3
    ads.grpc_services.add().envoy_grpc.cluster_name = "xds"


def _add(bootstrap: bootstrap_pb2.Bootstrap, made: snapshot.Snapshot, number: int) -> None:
    """Put a snapshot beside others: the first brings the clusters that all have, names get the snapshot's number."""
    known = {each.name for each in bootstrap.static_resources.clusters}
    for each in made.all(resource.CLUSTER):
        message = _filled(resource.CLUSTER, each, made.caller)
        shared = each.name in {naming.INBOUND, naming.INBOUND_TLS, naming.PASSTHROUGH, naming.REFUSED}
        if not (shared and each.name in known):
            message.name = each.name if shared else f"{each.name}#{number}"
            bootstrap.static_resources.clusters.append(message)
    for each in made.all(resource.LISTENER):
        message = _filled(resource.LISTENER, each, made.caller)
        for place, where in enumerate([message.address, *(more.address for more in message.additional_addresses)]):
            where.socket_address.address = f"127.{number}.{len(bootstrap.static_resources.listeners) % 250}.{place + 1}"
        message.name = f"{each.name}#{number}"
        bootstrap.static_resources.listeners.append(message)


def _filled(kind: str, item: resource.Resource, caller: str) -> object:
    return consistency.decode(kind, resource.Resource(name=item.name, version="", body=item.fill(caller)))


def test_a_tag_fits_into_the_hole() -> None:
    """Or every length in the message would be wrong."""
    assert len(resource.HOLE) == len(tls.tag(identity.SpiffeId.parse("spiffe://cluster.local/ns/a/sa/b")))
