"""An admission webhook on a port of this machine: it keeps what it was sent and answers what the test says.

Stands in for any webhook where the API server is under test. Its certificate is its own authority. Leaves out
everything that a webhook decides.
"""

import base64
import contextlib
import dataclasses
import datetime as dt
import ipaddress
import json
import pathlib
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Value = dict[str, Any]
Reaction = Callable[[Value], Value | web.StreamResponse | Awaitable[Value | web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    version: str
    body: Value


class Webhook:
    """One server; ``url`` and ``ca_bundle`` are what a configuration says of it."""

    def __init__(self, address: str, port: int, ca_bundle: str, calls: list[Call]) -> None:
        self.address = address
        self.port = port
        self.url = f"https://{address}:{port}/mutate"
        self.ca_bundle = ca_bundle
        self.calls = calls
        self.readiness: list[Call] = []
        """Requests to ``/ready``: they are always admitted."""
        self.react: Reaction = lambda _request: {"allowed": True}
        """``request`` -> the response without its uid, or any HTTP answer."""

    @property
    def requests(self) -> list[Value]:
        """Return the ``request`` of each review."""
        return [call.body["request"] for call in self.calls]

    @property
    def names(self) -> list[str]:
        """Return the names that were reviewed."""
        return [request.get("name", "") for request in self.requests]

    def client(self) -> Value:
        """Return the ``clientConfig`` that leads here."""
        return {"url": self.url, "caBundle": self.ca_bundle}


def patch(*operations: Value) -> Value:
    """Return an answer that admits with a patch."""
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def annotate(key: str, value: str) -> Reaction:
    """Return a reaction that sets an annotation."""
    escaped = key.replace("~", "~0").replace("/", "~1")

    def react(request: Value) -> Value:
        present = request["object"]["metadata"].get("annotations") is not None
        first = [] if present else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
        return patch(*first, {"op": "add", "path": f"/metadata/annotations/{escaped}", "value": value})

    return react


@contextlib.asynccontextmanager
async def running(
    folder: pathlib.Path, address: str = "127.0.0.1", names: Sequence[str] = ()
) -> AsyncIterator[Webhook]:
    """Serve meanwhile, with a certificate for the address and these names."""
    calls: list[Call] = []
    made: list[Webhook] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        version = f"HTTP/{request.version.major}.{request.version.minor}"
        headers = dict(request.headers)
        call = Call(method=request.method, path=request.path_qs, headers=headers, version=version, body=body)
        ready = request.path == "/ready"
        (made[0].readiness if ready else calls).append(call)
        found = {"allowed": True} if ready else made[0].react(body["request"])
        answer = await found if isinstance(found, Awaitable) else found
        if isinstance(answer, web.StreamResponse):
            return answer
        response = {"uid": body["request"]["uid"], **answer}
        return web.json_response({"apiVersion": body["apiVersion"], "kind": body["kind"], "response": response})

    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        tls, pem = serving(folder, address, names)
        await web.TCPSite(runner, address, 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        made.append(Webhook(address, port, base64.b64encode(pem).decode(), calls))
        yield made[0]
    finally:
        await runner.cleanup()


def serving(folder: pathlib.Path, address: str, names: Sequence[str]) -> tuple[ssl.SSLContext, bytes]:
    """Give a server's TLS settings, and the PEM by which a client believes it."""
    private, pem = certificate([address], names)
    file = folder / f"webhook-{secrets.token_hex(8)}.pem"
    file.write_bytes(private + pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context, pem


def certificate(addresses: Sequence[str], names: Sequence[str]) -> tuple[bytes, bytes]:
    """Make a key and a certificate that is its own authority, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "webhook")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    alternatives += [x509.DNSName(name) for name in names]
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now)
    made = made.not_valid_after(now + dt.timedelta(days=36500))
    made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
