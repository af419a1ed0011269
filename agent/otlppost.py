"""One request to an OTLP endpoint over HTTP, and what its answer means for what was sent.

Here because a collector may be slow, full, half there or something else entirely, and each of these must become one of
three things: taken, to be tried again, or lost for a reason. By OTLP/HTTP 1.10: only 429, 502, 503 and 504 are tried
again, ``Retry-After`` is honoured, a partial success is a success. Redirects are not followed: credentials go to nobody
but who was configured. Leaves out queues and when to try again (``otlp``).
"""

import dataclasses
import datetime as dt
import email.utils
import enum
import gzip
import pathlib
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import aiohttp
import structlog
from google.protobuf import message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from agent import clock, otlpwords
from ipseity import settings

_AGAIN: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER_BYTES: Final = 64 * 1024
"""An answer is some bytes; whoever sends more is no collector."""
_MAX_SAID: Final = 200
MAX_RETRY_AFTER_S: Final = 300.0
"""Longer than this we believe nobody: the queue is full long before."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: RFC 9110, 5.6.2."""
_HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"
_PROTOBUF: Final = "application/x-protobuf"


log = structlog.get_logger("agent")


class Signal(enum.StrEnum):
    """What is sent; also the end of the path."""

    LOGS = "logs"
    METRICS = "metrics"


class Fate(enum.Enum):
    """What became of a request."""

    TAKEN = enum.auto()
    AGAIN = enum.auto()
    LOST = enum.auto()


class Outcome(NamedTuple):
    """What an answer means."""

    fate: Fate
    reason: str = ""
    """Of a closed list: ``unreachable``, ``throttled``, ``unavailable``, ``refused``, ``garbled``."""
    said: str = ""
    """For a person; never a credential."""
    rejected: int = 0
    """Of those sent, by a partial success."""
    wait_s: float = 0.0
    """Not before this; 0: the other end did not say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to, and with what. ``repr`` shows no header's value: they are read from the file when they are sent."""

    url: str
    """Base, without ``/v1/...``."""
    headers_file: pathlib.Path | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Besides those of the file."""
    ca_file: pathlib.Path | None = None
    certificate_file: pathlib.Path | None = None
    key_file: pathlib.Path | None = None
    timeout_s: float = 10.0
    compress: bool = True


def variable_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``OTEL_EXPORTER_OTLP_HEADERS``. Raises SettingError, without the value."""
    return _checked(otlpwords.pairs(environ.get(_HEADERS_VARIABLE, "")).items(), _HEADERS_VARIABLE)


def file_headers(path: pathlib.Path) -> dict[str, str]:
    """Read ``Name: value`` lines; a blank line or one that begins with # says nothing. Raises SettingError."""
    where = f"{settings.PREFIX}OTLP_HEADERS_FILE"
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise settings.SettingError(where, str(path), "give a file that the agent can read", reason=reason) from None
    held = [line.partition(":") for line in lines if line.strip() and not line.startswith("#")]
    return _checked([(name.strip(), value.strip()) for name, _, value in held], where)


def _checked(found: Iterable[tuple[str, str]], where: str) -> dict[str, str]:
    headers = dict(found)
    for number, (name, value) in enumerate(headers.items(), 1):
        if not _TOKEN.fullmatch(name) or not value or not value.isprintable():
            hidden = f"header {number}"
            raise settings.SettingError(where, hidden, "write Name: value, one a line", reason="is no HTTP header")
    return headers


def context(target: Target) -> ssl.SSLContext | None:
    """Give the TLS settings; None for plain HTTP. Raises SettingError."""
    if not target.url.startswith("https://"):
        return None
    made = ssl.create_default_context()
    file = target.ca_file
    try:
        if file:
            made = ssl.create_default_context(cafile=file)
        if target.certificate_file:
            file = target.certificate_file
            made.load_cert_chain(target.certificate_file, target.key_file, password="")  # never ask a terminal
    except (OSError, ssl.SSLError) as error:
        remedy = "give PEM files that the agent can read"
        raise settings.SettingError("OTLP TLS", str(file), remedy, reason=f"cannot be used: {error}") from error
    return made


class Post:
    """Sends to one target. One event loop's."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None) -> None:
        self._target = target
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._from_file: dict[str, str] = {}
        self._said = False

    async def open(self) -> None:
        """Prepare; connects to nobody yet."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._target.timeout_s),
            connector=aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=4),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def send(self, signal: Signal, body: bytes) -> Outcome:
        """Send one request and wait for its answer."""
        assert self._session is not None, "open() first"  # noqa: S101  # a mistake of ours, not of a user
        headers = {"Content-Type": _PROTOBUF, "User-Agent": "ipseity-agent", **self._headers()}
        if self._target.compress:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        url = f"{self._target.url}/v1/{signal}"
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return self._judge(signal, answer.status, answer.headers, await _read(answer))
        except TimeoutError:
            return Outcome(Fate.AGAIN, "unreachable", f"no answer within {self._target.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(Fate.AGAIN, "unreachable", self._clean(str(error) or type(error).__name__))

    def _headers(self) -> dict[str, str]:
        """Read the file each time: a token in a mounted Secret is replaced while we run."""
        if self._target.headers_file is not None:
            try:
                self._from_file = file_headers(self._target.headers_file)
                self._said = False
            except settings.SettingError as error:  # it was right when we started: with those until it is again
                if not self._said:
                    self._said = True
                    log.warning("headers for OTLP cannot be read any more; the last ones are sent", error=str(error))
        return {**self._target.headers, **self._from_file}

    def _judge(self, signal: Signal, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        if status in _AGAIN:
            reason = "throttled" if status == 429 else "unavailable"
            wait_s = retry_after_s(
                headers.get("Retry-After", ""), dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC)
            )
            return Outcome(Fate.AGAIN, reason, f"HTTP {status}", wait_s=wait_s)
        if not 200 <= status < 300:
            return Outcome(Fate.LOST, "refused", f"HTTP {status} {self._clean(_printable(body))}".strip())
        try:
            rejected, said = _partial(signal, body)
        except message.DecodeError:
            return Outcome(Fate.LOST, "garbled", f"HTTP {status}, and no OTLP in it: {self._clean(_printable(body))}")
        return Outcome(Fate.TAKEN, said=self._clean(said), rejected=rejected)

    def _clean(self, said: str) -> str:
        """Take out of what the other end says whatever we have told it in confidence."""
        for secret in (*self._target.headers.values(), *self._from_file.values()):
            for word in {secret, secret.rpartition(" ")[2]}:
                said = said.replace(word, "***") if len(word) > 3 else said
        return said[:_MAX_SAID]


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Read what may be an answer, and no more."""
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            answer.close()
            break
    return body[:_MAX_ANSWER_BYTES]


def _partial(signal: Signal, body: bytes) -> tuple[int, str]:
    """Give how many were rejected, and why. Raises DecodeError."""
    if signal is Signal.LOGS:
        logs = logs_service_pb2.ExportLogsServiceResponse.FromString(body).partial_success
        return max(0, logs.rejected_log_records), logs.error_message
    metrics = metrics_service_pb2.ExportMetricsServiceResponse.FromString(body).partial_success
    return max(0, metrics.rejected_data_points), metrics.error_message


def _printable(body: bytes) -> str:
    return "".join(char for char in body.decode(errors="replace") if char.isascii() and char.isprintable())


def retry_after_s(written: str, now: dt.datetime) -> float:
    """Read ``Retry-After``: seconds or a date; 0 for what is neither, or is over."""
    if written.isascii() and written.isdecimal():
        return min(float(written), MAX_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(written)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return min(max(0.0, (at - now).total_seconds()), MAX_RETRY_AFTER_S)
