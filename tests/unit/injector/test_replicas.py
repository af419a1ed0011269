"""Replicas that tell one another what they have signed: over real sockets, with the certificates they have.

Leaves out what a rotation makes of it (test_rotation), and who leads.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from injector import replicas
from injector.cluster import model
from injector.identity import anchors, authority, ca, issuance, issuelog, ledger, lifecycle, serving
from injector.proto import replicas_pb2, replicas_pb2_grpc
from ipseity import identity
from tests.fakes import authorities
from tests.unit.injector.identity import test_serving

SYSTEM = "ipseity-system"
ACCOUNT = identity.ServiceAccount(SYSTEM, "ipseity-control")
PODS = 2003
"""More than are told in one message."""


def entry(number: int, *, at_s: int = 1_000, trusted: tuple[str, ...] | None = None) -> issuance.Entry:
    return issuance.Entry(
        time_s=at_s,
        serial=f"{number:032x}",
        spiffe_id="spiffe://cluster.local/ns/shop/sa/web",
        namespace="shop",
        pod=f"web-{number}",
        pod_uid=f"uid-{number}",
        not_before_s=at_s,
        not_after_s=at_s + 86_400,
        issuer="1" * 64,
        anchor="a" * 64,
        trusted=trusted,
    )


@dataclasses.dataclass(kw_only=True)
class Replica:
    """One, with its own leaf, ledger and server."""

    name: str
    pods: ledger.Ledger
    own: serving.OwnLeaf
    service: replicas.Service
    server: grpc.aio.Server
    port: int = 0

    def pod(self) -> model.Pod:
        ref = identity.PodRef(SYSTEM, self.name, f"uid-of-{self.name}")
        return model.Pod(ref=ref, account=ACCOUNT, labels={}, addresses=("127.0.0.1",))

    @contextlib.asynccontextmanager
    async def following(self, other: "Replica") -> AsyncIterator[replicas.Following]:
        """Follow another one."""
        everybody = (self.pod(), other.pod())
        host = test_serving.NAMES[0]
        made = replicas.Following(self.pods, self.own, self.pod().ref, lambda: everybody, host=host, port=other.port)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Scene:
    """An issuer, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        now_s = test_serving.now_s()
        self.anchor = authorities.anchor(now_s)
        self.held = authority.Authority(authorities.TRUST_DOMAIN)
        found = authority.Found(
            anchor=lifecycle.anchor_secret(self.anchor, "sys", lifecycle.ANCHOR),
            issuer=lifecycle.issuer_secret(
                authorities.issuer_of(self.anchor, now_s=now_s), self.anchor.certificate, "sys"
            ),
        )
        self.held.take(found, [], lambda _: None, now_s=now_s)

    @contextlib.asynccontextmanager
    async def replica(self, name: str) -> AsyncIterator[Replica]:
        log = issuelog.IssuanceLog(self.folder / f"{name}.log")
        log.open()
        writing = asyncio.create_task(log.run())
        pod = identity.PodRef(SYSTEM, name, f"uid-of-{name}")
        own = serving.OwnLeaf(self.held, log, pod, dns=test_serving.NAMES, life_s=3600, clock=test_serving.now_s)
        await own.refresh()
        pods, server = ledger.Ledger(), grpc.aio.server()
        service = replicas.Service(pods, own, authorities.TRUST_DOMAIN)
        replicas_pb2_grpc.add_ReplicasServicer_to_server(service, server)
        port = server.add_secure_port("127.0.0.1:0", serving.credentials(own, mutual=True))
        await server.start()
        try:
            yield Replica(name=name, pods=pods, own=own, service=service, server=server, port=port)
        finally:
            await server.stop(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            log.close()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # it comes over a socket
            await asyncio.sleep(0.01)


async def test_each_knows_what_the_other_signs(scene: Scene) -> None:
    """All that was signed before, then each as it is signed; a pod that renews at the other one counts once."""
    async with scene.replica("a") as one, scene.replica("b") as other:
        for number in range(PODS):
            one.pods.record(entry(number, trusted=("a" * 64,) if number % 2 else None))
        other.pods.record(entry(7, at_s=2_000))
        async with other.following(one) as heard:
            await until(lambda: "a" in heard.known)
            assert PODS == len(other.pods) == other.pods.summary(1_500).pods
            one.pods.record(entry(PODS))
            await until(lambda: len(other.pods) == PODS + 1)
            kept = {each.pod_uid: each for each in other.pods.leaves()}
            assert (2_000, None) == (kept["uid-7"].not_before_s, kept["uid-7"].trusted)
            assert ("a" * 64,) == kept["uid-9"].trusted
            assert None is kept["uid-8"].trusted


async def test_an_end_that_was_heard_leaves_nothing_unknown(scene: Scene) -> None:
    """What is signed last is told before the end; a replica that dies instead is not known any more."""
    async with scene.replica("b") as other:
        async with scene.replica("a") as one, other.following(one) as heard:
            await until(lambda: "a" in heard.known)
            one.pods.record(entry(1))
            await asyncio.wait_for(one.service.finish(), 10)
            await until(lambda: len(other.pods) == 1)
            await one.server.stop(0)
            await until(lambda: not heard._heard)
            assert {"a"} == heard.known
        async with scene.replica("c") as died, other.following(died) as heard:
            await until(lambda: "c" in heard.known)
            await died.server.stop(0)
            await until(lambda: not heard.known)


async def test_one_that_does_not_listen_does_not_hold_up_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node may be hung: what it should hear is waiting in a full window."""
    monkeypatch.setattr(replicas, "_FAREWELL_S", 0.2)
    async with scene.replica("a") as one:
        many = tuple(f"{number:064x}" for number in range(90))
        for number in range(5 * PODS):
            one.pods.record(entry(number, trusted=many))
        pair = one.own.pair
        assert pair is not None
        credentials = grpc.ssl_channel_credentials(pair.anchors_pem, pair.key_pem, pair.chain_pem)
        options = [("grpc.ssl_target_name_override", test_serving.NAMES[0])]
        async with grpc.aio.secure_channel(f"127.0.0.1:{one.port}", credentials, options=options) as channel:
            stream = replicas_pb2_grpc.ReplicasStub(channel).Follow(replicas_pb2.FollowRequest())
            await stream.read()
            await asyncio.wait_for(one.service.finish(), 5)
            assert 1 == one.service._streams
            stream.cancel()


async def test_only_control_planes_are_told(scene: Scene) -> None:
    """A pod's certificate is good, and no reason to tell it whose leaves there are."""
    async with scene.replica("a") as one:
        one.pods.record(entry(1))
        issuer = scene.held.issuer
        assert issuer is not None
        private, who = authorities.key(), identity.SpiffeId.parse(authorities.SPIFFE_ID)
        pod = ca.pod_name(identity.PodRef(who.account.namespace, "web-1", "u"), authorities.TRUST_DOMAIN)
        leaf = ca.issue(
            issuer, private.public_key(), who, (pod,), now_s=test_serving.now_s(), serial=authorities.serial()
        )
        chain = anchors.to_pem([leaf.certificate, *issuer.presented])
        key = anchors.Authority(certificate=leaf.certificate, key=private).key_pem
        credentials = grpc.ssl_channel_credentials(scene.anchor.certificate_pem, key, chain)
        options = [("grpc.ssl_target_name_override", test_serving.NAMES[0])]
        async with grpc.aio.secure_channel(f"127.0.0.1:{one.port}", credentials, options=options) as channel:
            stream = replicas_pb2_grpc.ReplicasStub(channel).Follow(replicas_pb2.FollowRequest())
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
        assert grpc.StatusCode.PERMISSION_DENIED is refused.value.code()
