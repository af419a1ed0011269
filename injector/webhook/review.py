"""AdmissionReview v1, in and out, as bytes.

Here because this is what kube-apiserver says and hears, in its own spelling. Leaves out what the answer is: ``decide``.
"""

import base64
import http
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from injector import errors

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_MAX_UID: Final = 256
"""A UUID has 36; what is longer is not echoed."""
_NAMESPACE: Final = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)?")
"""It becomes part of requests to the API server, and anybody may have sent it."""
_MAX_WARNINGS: Final = 8
_MAX_WARNING: Final = 256
"""Kubernetes cuts warnings beyond 4096 characters in all, and asks for at most 256 each."""
_MAX_MESSAGE: Final = 2048


class Malformed(errors.MeshError):
    """The body is no AdmissionReview of version 1."""

    def __init__(self, message: str, *, uid: str = "") -> None:
        super().__init__(message)
        self.uid = uid
        """Of the request; empty where it could not be read."""


class Resource(msgspec.Struct, frozen=True):
    """What the request is about: ``pods`` of group "" and version ``v1``."""

    group: str = ""
    version: str = ""
    resource: str = ""


class Review(msgspec.Struct, frozen=True, rename="camel"):
    """An AdmissionRequest. ``object`` is JSON that nobody has read yet."""

    uid: str
    resource: Resource
    operation: str = ""
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    dry_run: bool | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    request: Review


class _Uid(msgspec.Struct):
    uid: str = ""


class _Remains(msgspec.Struct):
    request: _Uid


class _Status(msgspec.Struct, omit_defaults=True):
    message: str
    code: int
    reason: str


class _Response(msgspec.Struct, rename="camel", omit_defaults=True):
    uid: str
    allowed: bool
    patch_type: str | None = None
    patch: str | None = None
    status: _Status | None = None
    warnings: list[str] | None = None


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    response: _Response


def read(body: bytes) -> Review:
    """Read a request. Raises Malformed."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not an AdmissionReview: {error}", uid=_uid(body)) from error
    request = envelope.request
    if (envelope.kind, envelope.api_version) != (_KIND, _VERSION):
        raise Malformed(f"{envelope.api_version[:80]} {envelope.kind[:80]} is not {_VERSION} {_KIND}", uid=_uid(body))
    if not 0 < len(request.uid) <= _MAX_UID:
        raise Malformed("the request has no uid")
    if not _NAMESPACE.fullmatch(request.namespace):
        raise Malformed(f"{request.namespace[:80]!r} is no namespace", uid=request.uid)
    return request


def _uid(body: bytes) -> str:
    """Find the uid in what is otherwise not as it should be."""
    try:
        uid = msgspec.json.decode(body, type=_Remains).request.uid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return uid if len(uid) <= _MAX_UID else ""


def admit(uid: str, *, patch: bytes | None = None, warnings: Sequence[str] = ()) -> bytes:
    """Let the object in, changed by a JSON patch where one is given."""
    response = _Response(
        uid=uid,
        allowed=True,
        patch_type="JSONPatch" if patch is not None else None,
        patch=base64.b64encode(patch).decode() if patch is not None else None,
        warnings=[warning[:_MAX_WARNING] for warning in warnings[:_MAX_WARNINGS]] or None,
    )
    return _encode(response)


def refuse(uid: str, message: str, code: http.HTTPStatus) -> bytes:
    """Keep the object out. The API server shows the message to whoever asked."""
    status = _Status(message=message[:_MAX_MESSAGE], code=code, reason=code.phrase.replace(" ", ""))
    return _encode(_Response(uid=uid, allowed=False, status=status))


def _encode(response: _Response) -> bytes:
    return msgspec.json.encode(_Answer(api_version=_VERSION, kind=_KIND, response=response))
