"""A collection's list, page by page: while one page is read, the next is on its way.

    async for page in paging.pages(api, kube.PODS, {"limit": "250"}, shape=PodShape, timeout_s=60): ...

Here because a list of 150,000 pods is 600 answers of 1 MB: to wait for each in turn, and to read it more than once, is
half of the time that they take. A list that does not end is an error, so that it is not followed without a pause.
Leaves out what an object is.
"""

import asyncio
import contextlib
import functools
import typing
from collections.abc import AsyncGenerator, Mapping

import aiohttp
import msgspec

from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

T = typing.TypeVar("T")

_MAX_PAGES: typing.Final = 4000
"""Of one list. Arbitrary: a million objects, six times the pods of the largest cluster that is supported."""
_MALFORMED: typing.Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Raised for bytes that are no JSON, no text, or nested without end."""
ENDED_AT_ONCE: typing.Final = 1
"""No HTTP status: the server answers, so whoever asks again waits as after a refusal."""


class ListMeta(msgspec.Struct):
    """What is said of the list as a whole."""

    resourceVersion: str = ""  # noqa: N815  # Kubernetes' spelling
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, typing.Generic[T]):
    """One answer. Its objects are decoded, or, where one of them is malformed, all of them ``msgspec.Raw``."""

    metadata: ListMeta
    items: list[T] = msgspec.field(default_factory=list)


class NoPage(kube.KubernetesError):
    """Somebody was there, but no page came: whoever asks again waits as after a refusal."""


class Unreadable(NoPage):
    """An answer is no list. ``body`` is what came."""

    def __init__(self, resource: kube.Resource, reason: object, body: bytes) -> None:
        super().__init__(f"list of {resource.name} cannot be read: {reason}")
        self.body = body


async def pages(
    api: "client.ApiClient", resource: kube.Resource, query: Mapping[str, str], *, shape: type, timeout_s: float
) -> AsyncGenerator[Page[typing.Any], None]:
    """Yield the pages of one list. Raises KubernetesError; NoPage where one takes longer than ``timeout_s``.

    At most two are in memory. An empty page ends nothing: all that was looked at may have been filtered out.
    """
    token, count = "", 0
    asked: asyncio.Task[bytes] | None = _ask(api, resource, query, timeout_s)
    try:
        while asked is not None:
            page = read(resource, await asked, shape)
            asked, count = None, count + 1
            if page.metadata.continue_:
                if page.metadata.continue_ == token or count >= _MAX_PAGES:
                    raise kube.KubernetesError(
                        f"the list of {resource.name} does not end: {count} pages, and again a continue token",
                        status=ENDED_AT_ONCE,
                    )
                token = page.metadata.continue_
                asked = _ask(api, resource, {**query, "continue": token}, timeout_s)
            yield page
    finally:
        if asked is not None:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)


def read(resource: kube.Resource, body: bytes, shape: type = msgspec.Raw) -> Page[typing.Any]:
    """Decode a page. Raises Unreadable."""
    with contextlib.suppress(*_MALFORMED):
        return _decoder(shape).decode(body)
    try:
        return _decoder(msgspec.Raw).decode(body)
    except _MALFORMED as error:
        raise Unreadable(resource, error, body) from error


@functools.cache
def _decoder(shape: type) -> "msgspec.json.Decoder[Page[typing.Any]]":
    return msgspec.json.Decoder(Page[shape])  # type: ignore[valid-type]  # known at run time only


def _ask(
    api: "client.ApiClient", resource: kube.Resource, query: Mapping[str, str], timeout_s: float
) -> asyncio.Task[bytes]:
    return asyncio.create_task(_page(api, resource, query, timeout_s))


async def _page(api: "client.ApiClient", resource: kube.Resource, query: Mapping[str, str], timeout_s: float) -> bytes:
    try:
        return await kube.get(api, resource.path, query, timeout_s=timeout_s)
    except kube.KubernetesError as error:
        slow = isinstance(error.__cause__, TimeoutError)
        if slow and not isinstance(error.__cause__, aiohttp.ConnectionTimeoutError):
            raise NoPage(f"a page of {resource.name} took longer than {timeout_s:g} s", hint=error.hint) from error
        raise
