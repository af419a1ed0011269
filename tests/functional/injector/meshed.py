"""What tests of the sidecar share: a control plane that serves, and connections to the pod."""

import asyncio
import contextlib
import http.client
import pathlib
import ssl
from collections.abc import AsyncIterator

from cryptography import x509

from tests.fakes import authority, control_plane
from tests.scene import proxied


@contextlib.asynccontextmanager
async def plane(pod: proxied.Pod) -> AsyncIterator[control_plane.ControlPlane]:
    """Serve one listener with mTLS and what is behind it."""
    made = control_plane.ControlPlane(
        authority=authority.make(), spiffe_id=proxied.SPIFFE_ID, resources=proxied.resources(pod)
    )
    ports = {"identity_port": proxied.IDENTITY_PORT, "discovery_port": proxied.DISCOVERY_PORT}
    async with control_plane.serving(made, proxied.HOST, **ports), proxied.echo():
        yield made


def status(path: str, method: str = "GET", host: str = proxied.POD) -> tuple[int, bytes]:
    """Ask the status listener; gives code and body."""
    connection = http.client.HTTPConnection(host, 15020, timeout=proxied.PATIENCE_S)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()


def kernel_says(pid: int, name: str) -> str:
    """Read a file of a process in /proc."""
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()


class Call:
    """A connection to the pod by mTLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def echo(self, text: bytes) -> bytes:
        """Send, and give what comes back."""
        self._writer.write(text)
        await self._writer.drain()
        async with asyncio.timeout(proxied.PATIENCE_S):
            return await self._reader.readexactly(len(text))

    async def rest(self) -> bytes:
        """Read until the other side has ended the connection."""
        async with asyncio.timeout(proxied.PATIENCE_S):
            return await self._reader.read()

    @property
    def serial(self) -> int:
        """Of the certificate that the pod showed."""
        der = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def close(self) -> None:
        """End the connection, and see it ended: what outlives its loop is a warning in somebody else's test."""
        self._writer.close()
        with contextlib.suppress(OSError):  # the other side was first
            async with asyncio.timeout(proxied.PATIENCE_S):
                await self._writer.wait_closed()


async def call(context: ssl.SSLContext) -> Call:
    """Connect as whoever the context says."""
    async with asyncio.timeout(proxied.PATIENCE_S):
        return Call(*await asyncio.open_connection(proxied.POD, proxied.MTLS_PORT, ssl=context, server_hostname="x"))
