"""Asks webhooks over HTTPS: verified, bounded in time and size; what goes wrong is one line, as Go words it.

A webhook behind a Service is in the cluster: its endpoint is dialled from the network namespace from which pods can be
reached, under the name ``<service>.<namespace>.svc``, which its certificate must have. One with a ``url`` is dialled
from here. Connections are kept, as the real server does. Leaves out what is asked (``admission_review``) and HTTP/2.
"""

import asyncio
import base64
import contextlib
import functools
import os
import pathlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
import yaml
from aiohttp import abc as aiohttp_abc

from comparisons.lab import netns
from comparisons.lab.api import hooks, store, webhook_address

ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer, decompressed. Arbitrary: five times the largest object; the real server has no limit."""
AUTHORITIES = 64
"""TLS contexts that are kept, one for each caBundle."""
HEADERS = {
    "User-Agent": "kube-apiserver-admission",
    "Accept": "application/json, */*",
    "Content-Type": "application/json",
    "Accept-Encoding": "gzip",
}
YAML = "application/yaml"


class Unanswered(Exception):  # noqa: N818  # it reads as what happened
    """There is no answer; the text is that of the real server."""


class Caller:
    """Asks. One for a server."""

    def __init__(self, objects: store.Store, outside: aiohttp.ClientSession, inside: aiohttp.ClientSession) -> None:
        self._objects = objects
        self._outside = outside
        self._inside = inside

    async def ask(self, hook: hooks.Hook, body: bytes) -> Any:
        """Return the parsed answer; raises Unanswered."""
        address = webhook_address.of(hook.said["clientConfig"], hook.timeout_s)
        try:
            tls = _tls(address.ca_bundle)
        except (ValueError, ssl.SSLError) as error:
            raise Unanswered(
                "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block"
            ) from error
        code, media_type, content = await self._post(address, tls, hook.timeout_s, body)
        if not 200 <= code <= 206:  # as client-go: OK to Partial Content
            raise Unanswered(_refusal(code, media_type, content))
        return _parsed(media_type, content)

    async def _post(
        self, address: webhook_address.Address, tls: ssl.SSLContext, timeout_s: int, body: bytes
    ) -> tuple[int, str, bytes]:
        session = self._outside if address.service is None else self._inside
        try:
            async with asyncio.timeout(timeout_s):
                if address.service is not None:
                    webhook_address.endpoint(self._objects, address.service)
                return await _exchange(session, address.url, tls, body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, webhook_address.Nowhere) as error:
            raise Unanswered(f'failed to call webhook: Post "{address.url}": {_go_words(error)}') from error


async def _exchange(
    session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext, body: bytes
) -> tuple[int, str, bytes]:
    """Post, and once more if a connection that was kept turns out to be closed by now."""
    try:
        return await _exchange_once(session, url, tls, body)
    except aiohttp.ServerDisconnectedError:
        return await _exchange_once(session, url, tls, body)


async def _exchange_once(
    session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext, body: bytes
) -> tuple[int, str, bytes]:
    async with session.post(url, data=body, headers=HEADERS, ssl=tls, allow_redirects=False) as answer:
        content = bytearray()
        async for chunk in answer.content.iter_any():
            content += chunk
            if len(content) > ANSWER_LIMIT:
                raise ValueError(f"the answer has more than {ANSWER_LIMIT} bytes")
        return answer.status, answer.headers.get("Content-Type", ""), bytes(content)


@functools.lru_cache(maxsize=AUTHORITIES)
def _tls(ca_bundle: str) -> ssl.SSLContext:
    """Any certificate of the bundle is trusted, as in Go, not only self-signed ones."""
    pem = base64.b64decode(ca_bundle, validate=True).decode("ascii") if ca_bundle else None
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _parsed(media_type: str, content: bytes) -> Any:
    form = media_type.partition(";")[0].strip().lower()
    if form not in {"", "application/json", YAML}:
        raise Unanswered(f"failed to call webhook: serializer for {media_type} doesn't exist")
    try:
        return yaml.safe_load(content) if form == YAML else msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, yaml.YAMLError, ValueError) as error:
        raise Unanswered(f"failed to call webhook: couldn't get version/kind; json parse error: {error}") from error


_BY_CODE = {
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    415: "the server was unable to respond with a content type that the client supports",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
TEXT_LIMIT = 2048
"""Bytes of an error page that are repeated: client-go's own limit."""


def _refusal(code: int, media_type: str, content: bytes) -> str:
    """Return k8s.io/apimachinery/pkg/api/errors.NewGenericServerResponse's words."""
    is_text = media_type.startswith(("text/", "application/json"))
    text = content[:TEXT_LIMIT].decode(errors="replace").strip() if is_text else "unknown"
    if code in _BY_CODE:
        said = _BY_CODE[code]
    elif code == 400:  # Bad Request
        said = "the server rejected our request for an unknown reason"
    elif code == 403:  # Forbidden
        said = f"forbidden: {text}"
    elif code >= 500:  # the server's own mistakes
        said = f'an error on the server ("{text}") has prevented the request from succeeding'
    else:
        said = f"the server responded with the status code {code} but did not return more information"
    return f"failed to call webhook: {said}"


def _go_words(error: Exception) -> str:  # noqa: PLR0911  # one line an error
    match error:
        case TimeoutError():
            return "context deadline exceeded"
        case aiohttp.ClientConnectorCertificateError():
            return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {error.host}: no such host"
        case aiohttp.ClientConnectorSSLError():
            return f"tls: {error.os_error.reason or error.os_error}"
        case aiohttp.ClientConnectorError():
            return f"dial tcp {_place(error)}: connect: {_strerror(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case aiohttp.ClientResponseError():
            return f"net/http: HTTP/1.x transport connection broken: malformed HTTP response: {error.message}"
        case aiohttp.ClientPayloadError():
            return "unexpected EOF"
        case OSError():
            return f"read tcp: read: {_strerror(error)}"
        case _:
            return str(error)


def _certificate(error: Exception) -> str:
    said = str(getattr(error, "verify_message", error))
    return "certificate signed by unknown authority" if "self-signed" in said or "issuer" in said else said.rstrip(".")


_DIALLED = re.compile(r"\('(?P<ip>[^']+)', (?P<port>\d+)")
"""asyncio's ``Connect call failed ('10.0.0.7', 443)``."""


def _place(error: aiohttp.ClientConnectorError) -> str:
    found = _DIALLED.search(str(error.os_error))
    host, port = (found["ip"], found["port"]) if found else (error.host, error.port)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _strerror(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


class _Endpoints(aiohttp_abc.AbstractResolver):
    """Resolves ``<service>.<namespace>.svc`` to an endpoint, with a port of its own."""

    def __init__(self, objects: store.Store) -> None:
        self._objects = objects

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002  # the endpoint's own
    ) -> list[aiohttp_abc.ResolveResult]:
        """Return one endpoint that is ready; raises OSError."""
        name, namespace, _ = host.split(".", 2)
        try:
            ip, target = webhook_address.endpoint(self._objects, (namespace, name, port))
        except webhook_address.Nowhere as error:
            raise OSError(None, str(error)) from error
        version = socket.AF_INET6 if ":" in ip else socket.AF_INET
        return [
            aiohttp_abc.ResolveResult(
                hostname=host, host=ip, port=target, family=version, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


@contextlib.asynccontextmanager
async def connected(objects: store.Store, namespace: pathlib.Path | None) -> AsyncIterator[Caller]:
    """Yield a caller. ``namespace``: the network namespace from which pods are reached; None for this process's own."""
    endpoints = aiohttp.TCPConnector(
        resolver=_Endpoints(objects), use_dns_cache=False, socket_factory=socket_factory(namespace), limit=0
    )
    unlimited = aiohttp.ClientTimeout(total=None)  # each call has its own limit
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=unlimited) as outside,
        aiohttp.ClientSession(connector=endpoints, timeout=unlimited) as inside,
    ):
        yield Caller(objects, outside, inside)


def socket_factory(namespace: pathlib.Path | None) -> Callable[[Any], socket.socket] | None:
    """Make what makes sockets in a network namespace; None for this process's own."""
    if namespace is None:
        return None

    def make(address: Any) -> socket.socket:
        return netns.open_socket(namespace, address[0], address[1])

    return make
