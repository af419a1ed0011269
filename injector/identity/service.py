"""The gRPC edge of the identity service: what ``certifier`` says, in gRPC's words, and never too much at once.

Here because callers are many and start together (a node that comes back brings a hundred pods): so many requests are
answered at a time, so many wait, and the rest hear at once that they should come back. Each refusal carries its reason
in the trailer ``ipseity-reason`` and its hint in the text. Leaves out what may be signed.
"""

import asyncio
import time
from typing import Any, Final, NoReturn, assert_never

import grpc
import structlog

from injector import errors
from injector.identity import certifier, csr, metrics
from injector.kube import tokens
from injector.proto import identity_pb2, identity_pb2_grpc

_AT_ONCE: Final = 64
"""Requests being answered: each waits for the API server and the disk, some 10 ms, so this is thousands a second."""
_WAITING: Final = 1024
"""Requests that may wait for their turn: some seconds' worth; who waits longer has a time-out."""
_MAX_MESSAGE_BYTES: Final = 64 * 1024
"""A request is 8 KiB and 16 KiB at most."""
REASON: Final = "ipseity-reason"
OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_allowed_incoming_connections", 1_200),  # as many as are answered and wait; an idle one has some 50 kB
    ("grpc.max_connection_idle_ms", 5_000),
    ("grpc.max_connection_age_ms", 30_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)
"""For ``grpc.aio.server``: callers come once in hours, and each connection is used once. Whoever says nothing more, or
says it slowly, holds a place that another pod needs."""
_log = structlog.get_logger("identity")


class Service(identity_pb2_grpc.IdentityServicer):  # type: ignore[misc]  # generated, without types
    """Answers ``Certify``."""

    def __init__(
        self,
        certify: certifier.Certifier,
        counted: metrics.Metrics,
        *,
        at_once: int = _AT_ONCE,
        waiting: int = _WAITING,
    ) -> None:
        self._certify = certify
        self._counted = counted
        self._gate = asyncio.Semaphore(at_once)
        self._room = at_once + waiting

    async def Certify(  # noqa: N802  # the name in the proto
        self, request: identity_pb2.CertifyRequest, context: Any
    ) -> identity_pb2.CertifyResponse:
        """Answer one request."""
        started_s = time.perf_counter()
        try:
            granted = await self._admitted(request)
        except errors.Refused as refusal:
            _log.info("refused a certificate", reason=refusal.reason, peer=context.peer(), why=str(refusal))
            await self._abort(context, status_of(refusal.reason), refusal.reason, f"{refusal}; {refusal.hint}")
        except certifier.NotNow as trouble:
            code = grpc.StatusCode.UNAVAILABLE
            if trouble.reason is certifier.Later.OVERLOADED:
                code = grpc.StatusCode.RESOURCE_EXHAUSTED
            await self._abort(context, code, trouble.reason, str(trouble))
        self._counted.issued.inc()
        self._counted.duration.observe(time.perf_counter() - started_s)
        return identity_pb2.CertifyResponse(
            chain_der=granted.chain_der,
            not_before_unix_s=granted.leaf.not_before_s,
            not_after_unix_s=granted.leaf.not_after_s,
            spiffe_id=str(granted.spiffe_id),
        )

    async def _admitted(self, request: identity_pb2.CertifyRequest) -> certifier.Granted:
        if self._room <= 0:
            raise certifier.NotNow("too many requests at once", reason=certifier.Later.OVERLOADED)
        self._room -= 1
        self._counted.in_flight.inc()
        try:
            async with self._gate:
                return await self._certify.certify(request.csr_der, request.token, request.trusted_sha256)
        finally:
            self._room += 1
            self._counted.in_flight.dec()

    async def _abort(self, context: Any, code: object, reason: str, text: str) -> NoReturn:
        self._counted.refused.labels(reason).inc()
        await context.abort(code, text[:1000], ((REASON, str(reason)),))
        raise AssertionError("unreachable: abort raises")


def status_of(reason: str) -> Any:
    """Give gRPC's word for a refusal, as the proto promises."""
    if reason in set(csr.Reason):
        return grpc.StatusCode.INVALID_ARGUMENT
    return _of_token(tokens.Reason(reason))


def _of_token(reason: tokens.Reason) -> Any:
    match reason:
        case tokens.Reason.TOKEN_MISSING | tokens.Reason.TOKEN_MALFORMED | tokens.Reason.TOKEN_INVALID:
            return grpc.StatusCode.UNAUTHENTICATED
        case tokens.Reason.NO_SERVICE_ACCOUNT | tokens.Reason.NOT_POD_BOUND:
            return grpc.StatusCode.PERMISSION_DENIED
    assert_never(reason)
