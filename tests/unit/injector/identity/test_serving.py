"""The control plane's own leaf, as real TLS clients meet it. Leaves out what is served behind it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from injector import errors
from injector.identity import anchors, authority, ca, issuance, issuelog, ledger, lifecycle, serving
from ipseity import identity
from tests.fakes import authorities

NAMES = serving.dns_names("ipseity-system", "cluster.local")
POD = identity.PodRef("ipseity-system", "ipseity-control-0", "uid-1")


def now_s() -> float:
    """Give the real time: gRPC holds certificates against it."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class Scene:
    """An authority, and the leaf that the control plane has from it."""

    def __init__(self, folder: Path) -> None:
        self.now_s = now_s()
        self.anchor = authorities.anchor(self.now_s)
        self.held = authority.Authority(authorities.TRUST_DOMAIN)
        self.path = folder / "issuance.log"
        self.log = issuelog.IssuanceLog(self.path)
        self.own = serving.OwnLeaf(self.held, self.log, POD, dns=NAMES, life_s=3600, clock=lambda: self.now_s)

    def take_new_issuer(self) -> anchors.Authority:
        made = authorities.issuer_of(self.anchor, now_s=self.now_s)
        found = authority.Found(
            anchor=lifecycle.anchor_secret(self.anchor, "sys", lifecycle.ANCHOR),
            issuer=lifecycle.issuer_secret(made, self.anchor.certificate, "sys"),
        )
        self.held.take(found, [ledger.Summary()], lambda _: None, now_s=self.now_s)
        return made


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    made.log.open()
    writing = asyncio.create_task(made.log.run())
    yield made
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    made.log.close()


async def test_it_is_signed_when_due_and_not_before(scene: Scene) -> None:
    """At the start, at 70 % of its life, and when the issuer is another one; each has its line in the log."""
    assert not await scene.own.refresh(), "there is no issuer yet"
    scene.take_new_issuer()
    assert [True, False] == [await scene.own.refresh(), await scene.own.refresh()]
    scene.now_s += 3600 * 0.7 + 1
    assert [True, False] == [await scene.own.refresh(), await scene.own.refresh()]
    scene.take_new_issuer()
    assert [True, False] == [await scene.own.refresh(), await scene.own.refresh()]
    assert 3 == issuance.verify(issuelog.lines(scene.path)).lines


async def test_it_says_who_the_control_plane_is(scene: Scene) -> None:
    """The names it is called by, its pod, and its own service account."""
    scene.take_new_issuer()
    await scene.own.refresh()
    assert scene.own.pair is not None
    [leaf, _] = x509.load_pem_x509_certificates(scene.own.pair.chain_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    own = "ipseity-control-0.ipseity-system.pod.cluster.local"
    service = "ipseity-control.ipseity-system.svc"
    assert [service, f"{service}.cluster.local", own] == names.get_values_for_type(x509.DNSName)
    spiffe_id = "spiffe://cluster.local/ns/ipseity-system/sa/ipseity-control"
    assert [spiffe_id] == names.get_values_for_type(x509.UniformResourceIdentifier)


@contextlib.asynccontextmanager
async def served(scene: Scene, *, mutual: bool) -> AsyncIterator[int]:
    server = grpc.aio.server()
    echo = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": echo}),))
    port = server.add_secure_port("127.0.0.1:0", serving.credentials(scene.own, mutual=mutual))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def _echo(request: bytes, context: Any) -> bytes:
    return request + context.auth_context().get("x509_pem_cert", [b""])[0]


async def say(port: int, scene: Scene, own: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """Connect anew, knowing only the anchor, and ask."""
    key, chain = own
    roots = scene.anchor.certificate_pem
    credentials = grpc.ssl_channel_credentials(roots, key or None, chain or None)
    options = [("grpc.ssl_target_name_override", NAMES[0]), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        return bytes(await channel.unary_unary("/test.Echo/Say")(b"hello", timeout=10))


async def test_a_client_that_knows_the_anchor_is_served_through_a_swap_of_the_issuer(scene: Scene) -> None:
    """By the same server: each handshake asks for the newest pair."""
    scene.take_new_issuer()
    await scene.own.refresh()
    async with served(scene, mutual=False) as port:
        assert b"hello" == await say(port, scene)
        scene.take_new_issuer()
        assert await scene.own.refresh()
        assert b"hello" == await say(port, scene)


async def test_a_mutual_server_wants_a_certificate_of_ours(scene: Scene) -> None:
    """And passes it on to who asks what it says."""
    scene.take_new_issuer()
    await scene.own.refresh()
    private, issuer = authorities.key(), scene.held.issuer
    assert issuer is not None
    who = identity.SpiffeId.parse(authorities.SPIFFE_ID)
    leaf = ca.issue(issuer, private.public_key(), who, (), now_s=scene.now_s, serial=authorities.serial())
    chain = anchors.to_pem([leaf.certificate, *issuer.presented])
    key = anchors.Authority(certificate=leaf.certificate, key=private).key_pem
    async with served(scene, mutual=True) as port:
        answer = await say(port, scene, (key, chain))
        assert leaf.certificate == x509.load_pem_x509_certificate(answer.removeprefix(b"hello"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(port, scene)
        assert grpc.StatusCode.UNAVAILABLE is caught.value.code()


async def test_a_server_does_not_start_without_a_leaf(scene: Scene) -> None:
    """Said before anything listens."""
    with pytest.raises(errors.CannotRun, match="no certificate"):
        serving.credentials(scene.own, mutual=False)
