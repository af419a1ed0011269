"""A command in a container, as ``kubectl exec`` runs one: what it writes, as it comes.

    place = exec.Place(namespace="shop", pod="web-1", container="app")
    async for channel, piece in exec.output(api, place, ["ls"]): ...

Here because a proxy's data that nobody may see is behind the right to run something in its pod. By WebSocket, channels
as Kubernetes numbers them (v4.channel.k8s.io; servers from 1.30 speak v5 too). Standard input is open and empty: it
ends when the caller goes away. Leaves out what is run.
"""

import dataclasses
import enum
import http
import typing
import urllib.parse
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import aiohttp
import msgspec

from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_TIMEOUT_S: Final = 10.0
_RIGHT: Final = "the account needs the rights get and create on pods/exec"


class Channel(enum.IntEnum):
    """What a piece is of."""

    OUTPUT = 1
    ERRORS = 2
    STATUS = 3
    """How it ended: a Status object of Kubernetes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where."""

    namespace: str
    pod: str
    container: str

    @property
    def path(self) -> str:
        """Of the URL."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}/exec"


async def output(
    api: "client.ApiClient", place: Place, command: Sequence[str]
) -> AsyncGenerator[tuple[Channel, bytes], None]:
    """Run a command; gives output and errors until it ends. Raises KubernetesError, also where it ends badly."""
    socket = await _open(api, place, command)
    try:
        async for message in socket:
            piece = message.data if message.type is aiohttp.WSMsgType.BINARY else b""
            if len(piece) < 2:  # the first message of a channel may be empty
                continue
            channel = piece[0]
            if channel == Channel.STATUS:
                _judge(place, piece[1:])
                return
            if channel in {Channel.OUTPUT, Channel.ERRORS}:
                yield Channel(channel), piece[1:]
    except (aiohttp.ClientError, OSError) as error:
        raise kube.unreachable(api, error) from error
    finally:
        await socket.close()


async def _open(api: "client.ApiClient", place: Place, command: Sequence[str]) -> Any:
    sent = await kube.headers(api, place.path)
    query = [("container", place.container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    query += [("command", word) for word in command]
    host = api.configuration.host.replace("http", "ws", 1)
    pool = api.rest_client
    if pool.pool_manager is None:  # made with the first request, and this may be it
        pool.pool_manager = pool._create_pool_manager()  # noqa: SLF001  # as the client's own WebSockets do
    try:
        return await pool.pool_manager.ws_connect(
            f"{host}{place.path}?{urllib.parse.urlencode(query)}",
            headers=sent,
            protocols=_PROTOCOLS,
            timeout=aiohttp.ClientWSTimeout(ws_close=_TIMEOUT_S),
        )
    except aiohttp.WSServerHandshakeError as error:
        hint = _RIGHT if error.status == http.HTTPStatus.FORBIDDEN else ""
        raise kube.KubernetesError(
            f"the API server answered {error.status} to a command in pod {place.namespace}/{place.pod}",
            hint=hint,
            status=error.status,
        ) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise kube.unreachable(api, error) from error


def _judge(place: Place, body: bytes) -> None:
    """Read how a command ended."""
    try:
        said = msgspec.json.decode(body)
        status, message = said["status"], str(said.get("message", ""))
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        status, message = "", body[:200].decode(errors="replace")
    if status != "Success":
        raise kube.KubernetesError(f"the command in pod {place.namespace}/{place.pod} did not end well: {message}")
