"""The Secret with the handshake keys: followed by every agent, written by ``ipseity handshake``.

Here because one Secret is all that the agents of a cluster share. A write is conditional on the version that was read:
of two people who rotate at once, one is told so. Leaves out what the keys mean (``keys``).
"""

import dataclasses
import http
import typing
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from agent import errors, keys
from ipseity import informer, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

STEP_AT: Final = "ipseity.io/handshake-step-at"
"""Annotation: when the keys were last changed, in Unix seconds."""
_LABELS: Final = {"app.kubernetes.io/managed-by": "ipseity"}
_TIMEOUT_S: Final = 10.0


class Place(NamedTuple):
    """Where the Secret is."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read ``NAMESPACE/NAME``. Raises ValueError."""
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(f"{text!r} is not NAMESPACE/NAME")
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def resource(self) -> kube.Resource:
        """Give the collection that is watched, of which RBAC need allow this one name only."""
        return kube.Resource(
            path=f"/api/v1/namespaces/{self.namespace}/secrets", field_selector=f"metadata.name={self.name}"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in the cluster."""

    keys: keys.Keys
    version: str
    """resourceVersion."""
    changed_wall_s: float
    """When a step was last taken; 0 where nobody has noted it."""


class _Meta(msgspec.Struct):
    uid: str = ""
    name: str = ""


class Shape(msgspec.Struct):
    """The fields of a v1 Secret that are read at all. Of any type: what is no text must not be quoted in an error."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    data: Any = None


def trim(shape: Shape) -> keys.Keys | keys.Unusable:
    """Read the keys; what cannot be used is a value, since an error would quote what it could not read."""
    data = shape.data if isinstance(shape.data, dict) else {}
    try:
        return keys.from_secret({str(name): str(value) for name, value in data.items()})
    except keys.Unusable as error:
        return error


def follow(
    api: "client.ApiClient", place: Place, clock: Callable[[], int]
) -> informer.Informer[keys.Keys | keys.Unusable]:
    """Make an informer over that one Secret."""
    return informer.Informer(api, place.resource(), shape=Shape, trim=trim, clock=clock)


async def read(api: "client.ApiClient", place: Place) -> Held | None:
    """Read it; None if there is none. Raises KubernetesError, keys.Unusable."""
    from kubernetes.aio import client  # noqa: PLC0415  # see ipseity.kube

    try:
        found = await _asked(api, client.CoreV1Api(api).read_namespaced_secret(place.name, place.namespace))
    except kube.KubernetesError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise
    noted = (found.metadata.annotations or {}).get(STEP_AT, "")
    data = {name: _text(value) for name, value in (found.data or {}).items()}
    return Held(
        keys=keys.from_secret(data),
        version=found.metadata.resource_version or "",
        changed_wall_s=float(noted) if noted.replace(".", "", 1).isdigit() else 0.0,
    )


async def create(api: "client.ApiClient", place: Place, known: keys.Keys, now_wall_s: float) -> None:
    """Write one that must not exist yet. Raises KubernetesError; status 409: it does."""
    from kubernetes.aio import client  # noqa: PLC0415  # see ipseity.kube

    body = _body(place, known, now_wall_s)
    await _asked(api, client.CoreV1Api(api).create_namespaced_secret(place.namespace, body))


async def replace(api: "client.ApiClient", place: Place, known: keys.Keys, now_wall_s: float, *, over: Held) -> None:
    """Write over the version that was read. Raises Conflict, KubernetesError."""
    from kubernetes.aio import client  # noqa: PLC0415  # see ipseity.kube

    body = _body(place, known, now_wall_s)
    body.metadata.resource_version = over.version
    try:
        await _asked(api, client.CoreV1Api(api).replace_namespaced_secret(place.name, place.namespace, body))
    except kube.KubernetesError as error:
        if error.status == http.HTTPStatus.CONFLICT:
            raise errors.Unavailable(
                f"Secret {place} was changed while this step was being taken; nothing was written",
                hint="look where it stands: ipseity handshake status",
            ) from error
        raise


def _body(place: Place, known: keys.Keys, now_wall_s: float) -> Any:
    from kubernetes.aio import client  # noqa: PLC0415  # see ipseity.kube

    return client.V1Secret(
        api_version="v1",
        kind="Secret",
        type="Opaque",
        metadata=client.V1ObjectMeta(
            name=place.name,
            namespace=place.namespace,
            labels=dict(_LABELS),
            annotations={STEP_AT: str(int(now_wall_s))},  # rounded up it would be in the future
        ),
        data=keys.to_secret(known),
    )


async def _asked(api: "client.ApiClient", request: Any) -> Any:
    """Await a request of the client in our errors. None of them has the request's body in it."""
    from kubernetes.aio import client  # noqa: PLC0415  # see ipseity.kube

    try:
        return await request
    except client.ApiException as error:
        refused = kube.refused(error.status, str(error.body or "").encode())
        if error.status == http.HTTPStatus.FORBIDDEN:
            refused.hint = "your account needs get, create and update on this Secret"
        raise refused from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise kube.unreachable(api, error) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
