"""Answers on the wire: JSON bodies, the Accept header's wishes, and refusals as ``Status``.

Leaves out what is answered: ``resources`` and ``discovery``.
"""

import dataclasses
import enum
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from comparisons.lab.api import status

JSON = "application/json"
WARNINGS_LIMIT, WARNING_LIMIT = 4096, 256
"""k8s.io/apiserver/pkg/endpoints/filters/warning.go: truncateAtTotalRunes, truncateItemRunes."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Form(enum.StrEnum):
    """How objects are to be shown."""

    OBJECT = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One media range of an Accept header."""

    media_type: str
    parameters: dict[str, str]


def accepted(header: str) -> list[Accepted]:
    """Return the media ranges, in the client's order (clients that matter write them in order of preference)."""
    return [_range(part) for part in (header or "*/*").split(",") if part.strip()]


def _range(text: str) -> Accepted:
    media_type, *parameters = (piece.strip() for piece in text.split(";"))
    pairs = (piece.partition("=") for piece in parameters)
    return Accepted(media_type=media_type.lower(), parameters={key: value for key, _, value in pairs})


def form(header: str) -> Form:
    """Return the first form that we have; raises Refused (406)."""
    for wish in accepted(header):
        as_ = wish.parameters.get("as", "")
        version_ok = not as_ or wish.parameters.get("v", "v1") == "v1"
        if wish.media_type in {JSON, "application/*", "*/*", "text/html"} and as_ in set(Form) and version_ok:
            return Form(as_)
    raise status.not_acceptable([JSON])


def respond(value: Any, code: int = 200, *, warnings: Iterable[str] = ()) -> web.Response:
    """Return a JSON answer; warnings become headers that clients print."""
    response = web.Response(body=msgspec.json.encode(value), status=code, content_type=JSON)
    response.headers["Cache-Control"] = "no-cache, private"
    warn(response, warnings)
    return response


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Add Warning headers, each text once. What is long is cut once all of it is too long, as on the real server."""
    total = 0
    for warning in dict.fromkeys(warnings):
        total += len(warning)
        text = warning if total <= WARNINGS_LIMIT else warning[:WARNING_LIMIT]
        quoted = _UNPRINTABLE.sub("", text).replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


def refusal(refused: status.Refused) -> web.Response:
    """Return the ``Status`` of a refusal."""
    response = respond(refused.body(), refused.code)
    if "retryAfterSeconds" in (refused.details or {}):
        response.headers["Retry-After"] = str((refused.details or {})["retryAfterSeconds"])
    return response
