"""The one informer: list + watch of a Kubernetes collection as a stream of typed changes that never ends.

    pods = informer.Informer(api, kube.PODS, shape=PodShape, trim=to_pod, clock=clock.boot_ns)
    async with contextlib.aclosing(pods.events()) as events:
        async for event in events: ...

Here because every program of ours watches, and a watch has one right way to end, to resume and to start over. Objects
are trimmed on arrival: only what ``trim`` returns is kept. Leaves out what an object means, and any cache for readers.
"""

import asyncio
import contextlib
import dataclasses
import enum
import itertools
import random
import typing
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

import aiohttp
import msgspec
import structlog

from ipseity import kube, lines, pacing, paging, pulse, since

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

T = typing.TypeVar("T")
Pace = pacing.Pace
log = structlog.get_logger("kubernetes")

_LIST_S = 60.0
"""As kube-apiserver's own --request-timeout."""
_SILENCE_S = 30.0
"""How much longer than it asked for a watch may stay open before we close it ourselves."""
_BRIEF_S = 1.0
"""A watch that ends sooner, having said nothing, counts as a failure: resuming it at once would be a busy loop."""
_EXPIRED: typing.Final = 410
_DIGITS: typing.Final = len(str(2**64 - 1))
_BREATH: typing.Final = 25
"""Objects of a list that are taken at once, in about 1 ms: then others have their turn, such as the next page."""


class Change(enum.Enum):
    """What happened to an object."""

    SEEN = "seen"
    """New, or not as it was."""
    GONE = "gone"
    """Deleted, missing from a fresh list, or no longer of interest to ``trim``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent(typing.Generic[T]):
    """One change of one object."""

    change: Change
    uid: str
    value: T
    """What ``trim`` made of it; for GONE the last state known."""
    boot_ns: int
    """When it reached us, on the clock that the informer was given."""
    since_ns: int
    """The earliest moment at which it may have become true: ``boot_ns`` for a watch; for a fresh list, and for what a
    watch was opened late for, up to when all had been told before (0: never)."""


class _Meta(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815  # Kubernetes' spelling


class _Object(msgspec.Struct):
    metadata: _Meta


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Named(msgspec.Struct):
    uid: str


class _Bare(msgspec.Struct):
    metadata: _Named


class _Malformed(Exception):  # noqa: N818  # it reads as what happened
    """A line or an object is not what the API promises. ``uid``: whose, if that can be told."""

    def __init__(self, message: str, uid: str = "") -> None:
        super().__init__(message)
        self.uid = uid


class Informer(typing.Generic[T]):
    """Follows one collection. One task reads ``events()``; anybody may read the counters and ``staleness_s``."""

    def __init__(  # noqa: PLR0913  # what to follow, how to read it, and what is known from before
        self,
        api: "client.ApiClient",
        resource: kube.Resource,
        *,
        trim: Callable[[typing.Any], T | None],
        clock: Callable[[], int],
        shape: type = dict,
        known: Mapping[str, T] | None = None,
        heard_ns: int = 0,
        pace: Pace | None = None,
    ) -> None:
        """Prepare; nothing is sent before ``events()`` is read.

        ``trim`` gets each object decoded as ``shape`` and returns what to keep, or None. ValueError, KeyError and
        TypeError count as malformed. A msgspec.Struct reads only the fields it names, at a tenth of the cost of a dict;
        ``metadata.uid`` is to be among them. ``clock`` gives nanoseconds.
        ``known`` and ``heard_ns`` are what an earlier run knew and up to when it was told all:
        the first list then yields Gone for what vanished meanwhile.
        """
        self._api = api
        self.resource: typing.Final = resource
        """What is followed."""
        self._trim = trim
        self._clock = clock
        self._shape = shape
        self.known: dict[str, T] = dict(known or {})
        """By uid."""
        self._pace = pace or Pace()
        self._version = ""
        self._incomplete = False
        self._lost_contact = False
        self.trouble = ""
        """Of the last outage: ``absent`` (the kind is not defined), ``refused`` or ``unreachable``."""
        self._failures = 0
        self._longest_s = 0.0
        self._heard_ns = heard_ns
        self._started_ns = clock()
        self._since = since.Since(heard_ns, self._started_ns)
        self.synced = False
        """Whether a list has been read to its end, and whoever reads ``events()`` has had all of it."""
        self.malformed = 0
        """Lines and objects that could not be read: what was known of such an object stays while it is there."""
        self.lists = 0
        """Lists read to their end: 1 in a quiet life."""
        self.failed_requests = 0
        self.last_error = ""
        """Why the last request failed; empty while all is well."""

    def __len__(self) -> int:
        """Objects known."""
        return len(self.known)

    @property
    def heard_ns(self) -> int:
        """When the API server last said anything here; 0: never."""
        return self._heard_ns

    @property
    def told_ns(self) -> int:
        """Up to when all that happened has been told: what whoever goes on from here is to be given as ``heard_ns``."""
        return self._since.told_ns

    def staleness_s(self, now_ns: int) -> float:
        """How old the knowledge may be: seconds since the API server last said anything here, bookmarks included.

        Up to about 60 s in a quiet cluster, which is how often kube-apiserver sends a bookmark.
        """
        return max(0, now_ns - (self._heard_ns or self._started_ns)) / 1e9

    async def events(self) -> AsyncGenerator[WatchEvent[T], None]:
        """Yield changes for ever. Never raises for what the API server does or fails to do."""
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                try:
                    async for event in self._follow():
                        yield event
                except kube.KubernetesError as error:
                    await asyncio.sleep(self._failed(error))
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._since.beat(self._clock())
            await asyncio.sleep(pulse.BEAT_S)

    async def _follow(self) -> AsyncGenerator[WatchEvent[T], None]:
        """List where needed, then watch once."""
        if self._lost_contact and self._version:
            await self._check_for_rollback()
        if not self._version or self._incomplete:
            asked_ns = self._clock()
            for event in await self._list():
                yield event  # made one by one: 150,000 pods at once are 30 MB
            self._since.listed(asked_ns, self._clock())
        self.synced = True
        self._lost_contact = False
        before = self._version
        async for event in self._watch():
            yield event
        if self._version == before and not self._has_lasted():
            raise kube.KubernetesError("the API server ended a watch at once", status=paging.ENDED_AT_ONCE)
        self._failures = 0

    async def _list(self) -> Iterator[WatchEvent[T]]:
        """Read every page, then tell the differences: first what is gone, then what is new."""
        since_ns, boot_ns, version = self._since.told_ns, 0, ""
        fresh: dict[str, T] = {}
        missed, query = self.malformed, self._query(limit=str(self._pace.page))
        listed = paging.pages(self._api, self.resource, query, shape=self._shape, timeout_s=_LIST_S)
        async with contextlib.aclosing(listed):
            async for page in listed:
                boot_ns = boot_ns or self._clock()  # every page is of the first one's moment
                for count, item in enumerate(page.items, start=1):
                    self._take(item, fresh)
                    if count % _BREATH == 0:
                        await asyncio.sleep(0)
                version = page.metadata.resourceVersion
        self._incomplete = self.malformed > missed
        self._version = version
        self.lists += 1
        self._heard_ns = self._clock()
        return self._replace(fresh, boot_ns=boot_ns, since_ns=since_ns)

    def _take(self, item: typing.Any, fresh: dict[str, T]) -> None:
        is_raw = isinstance(item, msgspec.Raw)  # an object of this page is malformed
        try:
            uid, value = self._keep(self._decode(item) if is_raw else item)
        except _Malformed as error:
            self._count_malformed(str(error), bytes(item) if is_raw else b"")
            uid = error.uid or (_uid(item) if is_raw else "")
            value = self.known.get(uid)  # it is there, so what was last read of it stays, as after such a line
        if value is not None:
            fresh[uid] = value

    def _replace(self, fresh: dict[str, T], *, boot_ns: int, since_ns: int) -> Iterator[WatchEvent[T]]:
        old, self.known = self.known, fresh
        gone = ((Change.GONE, uid, value) for uid, value in old.items() if uid not in fresh)
        seen = ((Change.SEEN, uid, value) for uid, value in fresh.items() if old.get(uid) != value)
        return (
            WatchEvent(change=change, uid=uid, value=value, boot_ns=boot_ns, since_ns=since_ns)
            for change, uid, value in itertools.chain(gone, seen)
        )

    async def _watch(self) -> AsyncGenerator[WatchEvent[T], None]:
        lifetime_s = self._pace.watch_s * random.uniform(1.0, 1.2)  # noqa: S311  # jitter, not a secret
        query = self._query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(max(1, int(lifetime_s))),
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=kube.CONNECT_S, sock_read=lifetime_s + _SILENCE_S)
        response = await kube.open_stream(self._api, self.resource.path, query, limits)
        try:
            kube.keep_alive(response)
            self._opened()
            async for line in lines.cut(response.content):
                event = self._read_line(line)
                if event is not None:
                    yield event
            # Ended before its time: the server was stopped. What comes back may not be what went away.
            self._lost_contact = self._clock() - self._since.opened_ns < 0.9e9 * lifetime_s
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise kube.unreachable(self._api, error) from error
        finally:
            response.close()

    def _read_line(self, line: bytes) -> WatchEvent[T] | None:
        """Understand one line. A malformed one is counted and made good by a list when this watch has ended."""
        try:
            read = msgspec.json.decode(line, type=_Line)
            if read.type == "ERROR":
                status = msgspec.json.decode(read.object, type=kube.Status)
                raise kube.refused(status.code or 500, bytes(read.object))
            change = self._apply(read)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Malformed) as error:
            self._incomplete = True
            self._count_malformed(str(error), line)
            return None
        now_ns = self._heard_ns = self._clock()
        self._failures = 0
        since_ns = self._since.line(_number(self._version), now_ns, whole=not self._incomplete)
        if change is None:
            return None
        what, uid, value = change
        return WatchEvent(change=what, uid=uid, value=value, boot_ns=now_ns, since_ns=since_ns)

    def _apply(self, read: _Line) -> tuple[Change, str, T] | None:
        if read.type == "BOOKMARK":
            self._version = _version(read.object) or self._version
            return None
        if read.type not in {"ADDED", "MODIFIED", "DELETED"}:
            raise _Malformed(f"event of unknown type {read.type!r}")
        uid, value = self._keep(self._decode(read.object))
        self._version = _version(read.object) or self._version
        before = self.known.get(uid)
        if read.type == "DELETED" or value is None:
            self.known.pop(uid, None)
            return None if before is None else (Change.GONE, uid, before if value is None else value)
        if before == value:
            return None  # a heartbeat, or a field that trim does not keep
        self.known[uid] = value
        return Change.SEEN, uid, value

    def _decode(self, raw: msgspec.Raw) -> typing.Any:
        try:
            return msgspec.json.decode(raw, type=self._shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _Malformed(f"{type(error).__name__}: {error}") from error

    def _keep(self, whole: typing.Any) -> tuple[str, T | None]:
        """Give an object's uid, and what ``trim`` makes of it."""
        uid: typing.Any = None
        try:
            uid = whole["metadata"]["uid"] if self._shape is dict else whole.metadata.uid
            if not uid or not isinstance(uid, str):
                raise _Malformed("object without metadata.uid")
            return uid, self._trim(whole)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            told = uid if isinstance(uid, str) else ""
            raise _Malformed(f"{type(error).__name__}: {error} (uid {uid})", told) from error

    async def _check_for_rollback(self) -> None:
        """Start over if the API server now knows less than we do.

        A server restored from a backup, or restarted with empty memory, leaves a watch from a version of its future
        open in silence (tests/vectors/kubernetes has one), so the question must be asked. One object, once per outage.
        """
        asked_ns = self._clock()
        body = await kube.get(self._api, self.resource.path, self._query(limit="1"))
        current = _number(paging.read(self.resource, body).metadata.resourceVersion)
        if 0 < _number(self._version) <= current:
            self._since.behind(current, asked_ns)
        else:
            self._version = ""

    def _query(self, **parameters: str) -> dict[str, str]:
        if self.resource.field_selector:
            parameters["fieldSelector"] = self.resource.field_selector
        if self.resource.label_selector:
            parameters["labelSelector"] = self.resource.label_selector
        return parameters

    def _opened(self) -> None:
        if self.last_error:
            log.info("kubernetes watch is back", resource=self.resource.name, failures=self._failures)
        self.last_error = ""
        self._heard_ns = self._clock()
        self._since.opened(self._heard_ns)

    def _has_lasted(self) -> bool:
        return self._clock() - self._since.opened_ns >= _BRIEF_S * 1e9

    def _failed(self, error: kube.KubernetesError) -> float:
        """Count a failure, say it once per outage, and return how long to wait."""
        if isinstance(error, paging.Unreadable):
            self._count_malformed(str(error), error.body)
        absent, longest_s = error.status == pacing.ABSENT, self._pace.longest_s(error)
        if longest_s != self._longest_s:
            self._failures = 0  # what was learned about another trouble does not apply
        self._longest_s = longest_s
        self.trouble = "absent" if absent else "refused" if error.status else "unreachable"
        self._lost_contact = self._lost_contact or not error.status
        if error.status == _EXPIRED or absent:  # what comes back is listed: the present state, and what is gone
            self._version = ""
        if not self.last_error:
            hint = "is its CustomResourceDefinition installed?" if absent else error.hint
            log.warning("kubernetes watch lost", resource=self.resource.name, error=str(error), hint=hint)
        self.last_error = str(error)
        self._failures += 1
        self.failed_requests += 1
        return self._pace.delay_s(error, self._failures)

    def _count_malformed(self, reason: str, data: bytes) -> None:
        self.malformed += 1
        if self.malformed == 1:  # said once: whoever sends one sends many
            log.warning(
                "malformed watch event", resource=self.resource.name, reason=reason, starts_with=repr(data[:120])
            )


def _version(raw: msgspec.Raw) -> str:
    return msgspec.json.decode(raw, type=_Object).metadata.resourceVersion


def _uid(raw: msgspec.Raw) -> str:
    """Read the uid alone; empty where not even that can be read."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(raw, type=_Bare).metadata.uid
    return ""


def _number(version: str) -> int:
    """Read a version as the API server counts them, in 64 bits at most; 0 where it is none."""
    return int(version) if len(version) <= _DIGITS and version.isascii() and version.isdigit() else 0
