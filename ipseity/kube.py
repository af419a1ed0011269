"""A connection to Kubernetes, and GET on it: errors say which server, what it answered and what to do.

Here because every program of ours needs one. Works on raw JSON: the client's model classes cost ten times the memory
of what is asked for. Leaves out watching (``informer``) and writing: the client that ``connect`` returns does that.
"""

import dataclasses
import importlib.util
import os
import re
import socket
import sys
import typing
import urllib.parse
from collections.abc import Mapping

import aiohttp
import msgspec

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

CONNECT_S = 2.0
"""One SYN and its first retransmission, 1 s later. Longer, and the return of a lost API server is seen late."""
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Of one answer that is read whole. Arbitrary: 250 objects of 256 KiB; a page of full pods has 2.5 MB."""
_SECONDS = re.compile(r"[0-9]{1,9}")


class KubernetesError(Exception):
    """The cluster cannot be reached, or said no. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status
        """HTTP status, or the code of a Status object; 0: it never came that far."""
        self.retry_after_s = retry_after_s


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A collection to watch."""

    path: str
    """As in the URL: ``/api/v1/pods``, ``/apis/apps/v1/namespaces/shop/deployments``."""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def name(self) -> str:
        """Plural name, as kubectl has it."""
        return self.path.rpartition("/")[2]


PODS = Resource(path="/api/v1/pods")
SERVICES = Resource(path="/api/v1/services")
NODES = Resource(path="/api/v1/nodes")


async def connect(kubeconfig: str | None = None, context: str | None = None) -> "client.ApiClient":
    """Make a client from a file, ``KUBECONFIG``, ``~/.kube/config`` or the pod's service account, in that order.

    Reads credentials, does not connect yet. Raises KubernetesError.
    """
    _asynchronous_only()
    from kubernetes.aio import client, config  # noqa: PLC0415  # 15 MB that commands without a cluster need not pay

    settings = client.Configuration()
    settings.connection_pool_maxsize = 32
    files = _kubeconfig_files(kubeconfig)
    try:
        if files:
            await config.load_kube_config(
                config_file=files, context=context, client_configuration=settings, persist_config=False
            )
        else:
            config.load_incluster_config(client_configuration=settings)
    except Exception as error:  # the loader lets YAML's, base64's and its own slips through as they are
        # One that is YAML but no mapping, such as /etc/passwd, trips the loader over its own types.
        why = "not a kubeconfig" if isinstance(error, TypeError | AttributeError) else error
        raise KubernetesError(
            f"cannot tell how to reach Kubernetes from {files or 'the environment'}: {why}",
            hint="give --kubeconfig FILE (and --context NAME), or run in a pod with a service account",
        ) from error
    return client.ApiClient(settings)


def _asynchronous_only() -> None:
    """Let ``kubernetes.aio`` be imported without what ``kubernetes`` itself imports: the synchronous client, 6 MB."""
    spec = importlib.util.find_spec("kubernetes") if "kubernetes" not in sys.modules else None
    if spec is not None:
        sys.modules["kubernetes"] = importlib.util.module_from_spec(spec)


def _kubeconfig_files(given: str | None) -> str:
    """Colon-separated files, or empty for the pod's service account."""
    if given and not os.path.isfile(given):  # noqa: PTH113  # see below
        raise KubernetesError(f"kubeconfig {given!r}: no such file", hint="give the path of an existing kubeconfig")
    if given or os.environ.get("KUBECONFIG"):
        return given or os.environ["KUBECONFIG"]
    default = os.path.expanduser("~/.kube/config")  # noqa: PTH111  # os.path says no where pathlib raises: no rights
    return default if os.path.isfile(default) and "KUBERNETES_SERVICE_HOST" not in os.environ else ""  # noqa: PTH113  # see above


async def get(
    api: "client.ApiClient", path: str, query: Mapping[str, str] | None = None, *, timeout_s: float = 10
) -> bytes:
    """GET a path and return the body. Raises KubernetesError for anything but 200."""
    limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
    response = await open_stream(api, path, query or {}, limits)
    try:
        return await _body(response)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(api, error) from error
    finally:
        response.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read to the end, but for an answer that has none: it would fill our memory."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            hint = "is this address really an API server?"
            raise KubernetesError(
                f"the API server's answer is longer than {MAX_BODY_BYTES} bytes", status=response.status, hint=hint
            )
        pieces.append(piece)
    return b"".join(pieces)


async def open_stream(
    api: "client.ApiClient", path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
) -> aiohttp.ClientResponse:
    """GET a path whose body the caller reads, and closes. Raises KubernetesError for anything but 200."""
    sent = await headers(api, path)
    url = f"{api.configuration.host}{path}?{urllib.parse.urlencode(query)}"
    try:
        reply = await api.rest_client.request("GET", url, headers=sent, _request_timeout=limits)
        response = typing.cast("aiohttp.ClientResponse", reply.response)
        if response.status != 200:  # the only success a GET has
            try:
                body = await _body(response)
            finally:
                response.close()
            raise refused(response.status, body, response.headers)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(api, error) from error
    return response


async def headers(api: "client.ApiClient", path: str) -> dict[str, str]:
    """Make headers with the bearer token, which the client reads afresh from time to time."""
    made = {"Accept": "application/json", "User-Agent": "ipseity"}
    try:
        await api.update_params_for_auth(made, [], ["BearerToken"], path, "GET", None)
    except Exception as error:  # a token file that cannot be read, in one of the client's many own errors
        raise KubernetesError(f"cannot read the credentials for {api.configuration.host}: {error}") from error
    return made


class Status(msgspec.Struct):
    """A Kubernetes Status object: an error's body, and the object of an ERROR event."""

    code: int = 0
    message: str = ""
    reason: str = ""


def unreachable(api: "client.ApiClient", error: Exception) -> KubernetesError:
    """Say that a request, or the reading of its body, never came to an end."""
    reason = str(error) or type(error).__name__
    return KubernetesError(
        f"cannot reach the API server at {api.configuration.host}: {reason}",
        hint="is it running, and may this host reach it?",
    )


def refused(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> KubernetesError:
    """Say that the API server answered with an error; ``body`` is its Status object, or whatever a proxy sent."""
    try:
        message = msgspec.json.decode(body, type=Status).message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = body[:200].decode(errors="replace")
    hints = {401: "the token or certificate is not accepted", 403: "the account needs get, list and watch on it"}
    wait = (headers or {}).get("Retry-After", "")
    return KubernetesError(
        f"the API server answered {status}: {message}",
        hint=hints.get(status, ""),
        status=status,
        retry_after_s=float(wait) if _SECONDS.fullmatch(wait) else 0.0,
    )


def keep_alive(response: aiohttp.ClientResponse) -> None:
    """Notice within 30 s that the other end is no more, though nothing is sent: 15 s idle, then 3 probes."""
    transport = response.connection.transport if response.connection else None
    peer = transport.get_extra_info("socket") if transport else None
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
