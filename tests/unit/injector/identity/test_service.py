"""A pod's way to its certificate, over real gRPC; the API server says what a real one was recorded to say.

Leaves out which requests and tokens are good (test_csr, test_tokens), and TLS (test_serving).
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import prometheus_client
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from injector.identity import (
    anchors,
    authority,
    certifier,
    csr,
    issuance,
    issuelog,
    ledger,
    lifecycle,
    metrics,
    service,
)
from injector.kube import tokens
from injector.proto import identity_pb2, identity_pb2_grpc
from tests.fakes import authorities, mesh_api, recordings
from tests.fakes import authority as fake_authority

TOKEN = recordings.load("tokenreview-bound-custom-audience")["request"]["spec"]["token"]
POD_UID = "464ba0a2-d99d-45d2-8304-a594e6982906"
NOW_S = authorities.NOW_S


class Scene:
    """Everything that answers Certify, over one fake API server; the clock stands still unless moved."""

    def __init__(self, folder: Path) -> None:
        self.fake = mesh_api.FakeMeshApi()
        self.now_s = NOW_S
        self.anchor = authorities.anchor()
        self.held = authority.Authority(authorities.TRUST_DOMAIN)
        self.pods = ledger.Ledger()
        self.path = folder / "issuance.log"
        self.log = issuelog.IssuanceLog(self.path)
        self.registry = prometheus_client.CollectorRegistry()
        self.counted = metrics.Metrics(self.registry)
        self.stub: Any = None
        self.take(authorities.issuer_of(self.anchor))

    def take(self, issuer: anchors.Authority) -> None:
        found = authority.Found(
            anchor=lifecycle.anchor_secret(self.anchor, "sys", lifecycle.ANCHOR),
            issuer=lifecycle.issuer_secret(issuer, self.anchor.certificate, "sys"),
        )
        self.held.take(found, [self.pods.summary(self.now_s)], lambda _: None, now_s=self.now_s)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def certify(self, der: bytes, token: str = TOKEN, trusted: tuple[bytes, ...] = ()) -> Any:
        request = identity_pb2.CertifyRequest(csr_der=der, token=token, trusted_sha256=trusted)
        return await self.stub.Certify(request, timeout=10)


@contextlib.asynccontextmanager
async def running(scene: Scene, **limits: int) -> AsyncIterator[Scene]:
    """Serve as the control plane does, but for TLS."""
    scene.log.open()
    writing = asyncio.create_task(scene.log.run())
    async with scene.fake.running() as api:
        reviewer = tokens.Reviewer(api, audience=mesh_api.AUDIENCE)
        certify = certifier.Certifier(
            scene.held, reviewer, scene.log, scene.pods, life_s=86_400, clock=lambda: scene.now_s
        )
        server = grpc.aio.server(options=service.OPTIONS)
        answering = service.Service(certify, scene.counted, **limits)
        identity_pb2_grpc.add_IdentityServicer_to_server(answering, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            scene.stub = identity_pb2_grpc.IdentityStub(channel)
            try:
                yield scene
            finally:
                await server.stop(0)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                scene.log.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with running(Scene(tmp_path)) as served:
        yield served


async def refusal(scene: Scene, der: bytes, token: str = TOKEN) -> tuple[Any, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scene.certify(der, token)
    trailers = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), str(trailers.get(service.REASON, "")), caught.value.details() or ""


async def test_connections_beyond_the_bound_are_closed_at_once() -> None:
    """By gRPC itself, before any handshake, under the setting that ``OPTIONS`` gives; with a bound that fits a test."""
    bound = "grpc.max_allowed_incoming_connections"
    assert bound in dict(service.OPTIONS)
    server = grpc.aio.server(options=tuple({**dict(service.OPTIONS), bound: 7}.items()))
    pair = fake_authority.make().identity("spiffe://cluster.local/ns/a/sa/b")
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        ended = [asyncio.create_task(reader.read()) for reader, _ in opened]
        async with asyncio.timeout(3):  # less than a handshake may take
            while sum(each.done() for each in ended) < 13:
                await asyncio.wait([each for each in ended if not each.done()], return_when=asyncio.FIRST_COMPLETED)
        assert 7 == sum(not each.done() for each in ended)
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.gather(*ended, return_exceptions=True)
        await server.stop(None)


@pytest.mark.parametrize(("bound", "most_s"), [("grpc.max_connection_idle_ms", 5), ("grpc.max_connection_age_ms", 30)])
async def test_a_connection_that_asks_nothing_is_ended(bound: str, most_s: int) -> None:
    """Also one that has finished its handshake and speaks HTTP/2; with a time that fits a test."""
    own = dict(service.OPTIONS)
    assert 0 < int(own[bound]) <= most_s * 1_000
    others = {"grpc.max_connection_idle_ms": 60_000, "grpc.max_connection_age_ms": 60_000}
    grace = {"grpc.max_connection_age_grace_ms": 200}
    server = grpc.aio.server(options=tuple({**own, **others, **grace, bound: 500}.items()))
    pair = fake_authority.make().identity("spiffe://cluster.local/ns/a/sa/b")
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    trust.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        said = await asyncio.wait_for(reader.read(), 4)  # to the end; less than a handshake may take
        assert said
    finally:
        writer.transport.abort()
        await server.stop(None)


async def test_a_pod_gets_what_its_token_proves(scene: Scene) -> None:
    """Its key, one name, the pod in the DNS name; the answer says how long."""
    private = authorities.key()
    answer = await scene.certify(authorities.request(private))
    leaf, issuer = [x509.load_der_x509_certificate(each) for each in answer.chain_der]
    assert private.public_key() == leaf.public_key()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [authorities.SPIFFE_ID] == names.get_values_for_type(x509.UniformResourceIdentifier)
    assert [authorities.DNS] == names.get_values_for_type(x509.DNSName)
    leaf.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(scene.anchor.certificate)
    assert (int(NOW_S) - 20, int(NOW_S) + 86_400) == (answer.not_before_unix_s, answer.not_after_unix_s)
    assert authorities.SPIFFE_ID == answer.spiffe_id
    assert 1 == scene.count("ipseity_identity_certificates_issued_total")


async def test_every_certificate_has_its_line(scene: Scene) -> None:
    """Serial, names, pod and what the pod trusts; foreign hashes that it may have said are not kept."""
    own = scene.anchor.certificate.fingerprint(hashes.SHA256())
    answers = [await scene.certify(authorities.request(), trusted=(own, b"x" * 32)) for _ in range(7)]
    await scene.certify(authorities.request(), trusted=(b"short",))
    lines = [issuance.read(each) for each in issuelog.lines(scene.path)]
    serials = [x509.load_der_x509_certificate(each.chain_der[0]).serial_number for each in answers]
    assert serials == [int(each.serial, 16) for each in lines[:7]]
    assert 7 == len(set(serials))
    assert ("rec", "bare", POD_UID) == (lines[0].namespace, lines[0].pod, lines[0].pod_uid)
    assert (own.hex(),) == lines[0].trusted
    assert None is lines[7].trusted
    assert issuance.verify(issuelog.lines(scene.path), scene.log.head).holds
    assert 1 == scene.pods.summary(NOW_S).pods


async def test_a_request_for_somebody_else_is_refused(scene: Scene) -> None:
    """INVALID_ARGUMENT, a reason for machines, a text for people, a count."""
    der = authorities.request(uris=("spiffe://cluster.local/ns/kube-system/sa/root",))
    code, reason, text = await refusal(scene, der)
    assert (grpc.StatusCode.INVALID_ARGUMENT, csr.Reason.FOREIGN_NAME) == (code, reason)
    assert "kube-system" in text
    assert 1 == scene.count("ipseity_identity_requests_refused_total", reason="foreign_name")
    assert [] == list(issuelog.lines(scene.path))


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        ("tokenreview-bad-signature", grpc.StatusCode.UNAUTHENTICATED),
        ("tokenreview-pod-deleted", grpc.StatusCode.UNAUTHENTICATED),
        ("tokenreview-wrong-audience", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_a_token_that_proves_nothing(scene: Scene, recording: str, code: Any) -> None:
    """As the API server answered it."""
    scene.fake.answer = recordings.load(recording)["response"]
    assert (code, tokens.Reason.TOKEN_INVALID) == (await refusal(scene, authorities.request()))[:2]


async def test_a_token_without_a_pod(scene: Scene) -> None:
    """Genuine, and not enough."""
    del scene.fake.answer["status"]["user"]["extra"]
    code, reason, _ = await refusal(scene, authorities.request())
    assert (grpc.StatusCode.PERMISSION_DENIED, tokens.Reason.NOT_POD_BOUND) == (code, reason)


@pytest.mark.parametrize("token", ["", "garbage"])
async def test_no_token_at_all(scene: Scene, token: str) -> None:
    """The API server is not asked."""
    assert grpc.StatusCode.UNAUTHENTICATED is (await refusal(scene, authorities.request(), token))[0]
    assert [] == scene.fake.reviews


async def test_a_bad_request_costs_the_api_server_nothing(scene: Scene) -> None:
    """It is judged first."""
    assert grpc.StatusCode.INVALID_ARGUMENT is (await refusal(scene, b"garbage"))[0]
    assert [] == scene.fake.reviews


async def test_a_message_that_is_too_long_is_not_read(scene: Scene) -> None:
    """The bound of gRPC itself, before anything of ours."""
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is (await refusal(scene, bytes(200_000)))[0]


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_an_api_server_in_trouble_means_later(scene: Scene, status: int) -> None:
    """UNAVAILABLE: nothing was wrong with the request, and it is not counted as such."""
    scene.fake.failing = status
    code, reason, _ = await refusal(scene, authorities.request())
    assert (grpc.StatusCode.UNAVAILABLE, certifier.Later.API_UNAVAILABLE) == (code, reason)


async def test_an_issuer_that_ends_means_later(scene: Scene) -> None:
    """Somebody has to renew it, not the caller."""
    scene.now_s = scene.held.issuer.not_after_s - 3 if scene.held.issuer else 0
    code, reason, text = await refusal(scene, authorities.request())
    assert (grpc.StatusCode.UNAVAILABLE, certifier.Later.ISSUER_ENDS) == (code, reason)
    assert "ends at" in text


async def test_no_issuer_means_later(scene: Scene) -> None:
    """As before the first Secret was read."""
    scene.held.issuer = None
    assert certifier.Later.NO_ISSUER == (await refusal(scene, authorities.request()))[1]


async def test_without_a_line_in_the_log_there_is_no_certificate(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not sync: UNAVAILABLE, counted, and well again as soon as it does."""

    def broken(fd: int) -> None:
        raise OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(issuelog.os, "fdatasync", broken)
        code, reason, _ = await refusal(scene, authorities.request())
    assert (grpc.StatusCode.UNAVAILABLE, certifier.Later.LOG_FAILED) == (code, reason)
    assert {} == scene.pods.summary(NOW_S).by_anchor
    await scene.certify(authorities.request())
    assert 1 == len(list(issuelog.lines(scene.path)))


async def test_too_many_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    """What is admitted is answered; the rest hears so at once."""
    async with running(Scene(tmp_path), at_once=2, waiting=3) as scene:
        ders = [authorities.request() for _ in range(67)]
        answers = await asyncio.gather(*(scene.certify(each) for each in ders), return_exceptions=True)
        late = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert {grpc.StatusCode.RESOURCE_EXHAUSTED} == {each.code() for each in late}
        assert 67 - len(late) == scene.count("ipseity_identity_certificates_issued_total") >= 5
        assert 0 == scene.count("ipseity_identity_requests_in_flight")
        await scene.certify(authorities.request())


async def test_an_issuer_is_swapped_between_two_requests(scene: Scene) -> None:
    """Nothing restarts; the chain in the answer is the new one."""
    before = await scene.certify(authorities.request())
    scene.take(authorities.issuer_of(scene.anchor))
    after = await scene.certify(authorities.request())
    assert before.chain_der[1] != after.chain_der[1]


def test_every_reason_has_its_status() -> None:
    """Both lists are closed, and complete here."""
    assert {service.status_of(reason) for reason in csr.Reason} == {grpc.StatusCode.INVALID_ARGUMENT}
    expected = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    assert expected == {service.status_of(reason) for reason in tokens.Reason}
    with pytest.raises(ValueError, match="nonsense"):
        service.status_of("nonsense")
    assert not set(csr.Reason) & set(tokens.Reason)
