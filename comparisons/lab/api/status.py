"""Refusals as Kubernetes words them: an exception here, a ``Status`` object on the wire.

Why here: clients decide by ``code`` and ``reason`` (``kubectl`` prints ``message``), so both must be as the real
server's. Messages follow k8s.io/apimachinery/pkg/api/errors.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why an object is invalid: ``FieldValueRequired`` and its kin, at one field."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def required(field: str, detail: str = "") -> Cause:
    """Say that a field must be there and is not."""
    return Cause(field=field, reason="FieldValueRequired", message=_with("Required value", detail))


def bad(field: str, value: object, detail: str) -> Cause:
    """Say that a field's value is not possible."""
    return Cause(field=field, reason="FieldValueInvalid", message=f"Invalid value: {json.dumps(value)}: {detail}")


def forbidden_field(field: str, detail: str) -> Cause:
    """Say that a field may not be set, or not changed."""
    return Cause(field=field, reason="FieldValueForbidden", message=_with("Forbidden", detail))


def unsupported(field: str, value: object, supported: Sequence[str]) -> Cause:
    """Say that a field's value is not one of a closed list."""
    known = ", ".join(json.dumps(each) for each in supported)
    message = f"Unsupported value: {json.dumps(value)}: supported values: {known}"
    return Cause(field=field, reason="FieldValueNotSupported", message=message)


def duplicate(field: str, value: object) -> Cause:
    """Two items of a list have the same key."""
    return Cause(field=field, reason="FieldValueDuplicate", message=f"Duplicate value: {json.dumps(value)}")


def absent(field: str, value: object) -> Cause:
    """Say that a name which another field should define is defined nowhere."""
    return Cause(field=field, reason="FieldValueNotFound", message=f"Not found: {json.dumps(value)}")


def _with(words: str, detail: str) -> str:
    return f"{words}: {detail}" if detail else words


class Refused(Exception):  # noqa: N818  # it reads as what happened
    """The request cannot be done; ``body()`` is what the client gets."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return the ``Status`` object."""
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        details = {"details": self.details} if self.details else {}
        reason = {"reason": self.reason} if self.reason else {}
        return {**head, **reason, **details, "code": self.code}


def success(details: dict[str, Any]) -> dict[str, Any]:
    """Return the ``Status`` object of something done whose object is gone."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def named(group: str, kind: str, name: str = "", uid: str = "") -> dict[str, Any]:
    """``details`` that say which object; empty parts are left out, as the real server does."""
    parts = {"name": name, "group": group, "kind": kind, "uid": uid}
    return {key: value for key, value in parts.items() if value}


def _resource(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def bad_request(message: str) -> Refused:
    """400: the request itself cannot be read."""
    return Refused(400, "BadRequest", message)


def unauthorized() -> Refused:
    """401: no token, or not ours."""
    return Refused(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str, causes: Sequence[Cause] = ()) -> Refused:
    """403: the state of the cluster does not admit it."""
    details = named(group, plural, name) | ({"causes": [_cause(c) for c in causes]} if causes else {})
    return Refused(403, "Forbidden", f'{_resource(group, plural)} "{name}" is forbidden: {why}', details)


def not_found(group: str, plural: str, name: str) -> Refused:
    """404: no such object."""
    return Refused(404, "NotFound", f'{_resource(group, plural)} "{name}" not found', named(group, plural, name))


def no_such_path() -> Refused:
    """404: no such resource."""
    return Refused(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> Refused:
    """405: the resource is there, the verb is not."""
    message = "the server does not allow this method on the requested resource"
    return Refused(405, "MethodNotAllowed", message)


def not_acceptable(offered: Sequence[str]) -> Refused:
    """406: no media type that both sides know."""
    return Refused(406, "NotAcceptable", "only the following media types are accepted: " + ", ".join(offered))


def already_exists(group: str, plural: str, name: str) -> Refused:
    """409: a create of what is there."""
    message = f'{_resource(group, plural)} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, named(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> Refused:
    """409: an update of another version than the stored one, or a precondition that does not hold."""
    message = f'Operation cannot be fulfilled on {_resource(group, plural)} "{name}": {why}'
    return Refused(409, "Conflict", message, named(group, plural, name))


OBJECT_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def expired(message: str) -> Refused:
    """410: the revision asked for is no longer known."""
    return Refused(410, "Expired", message)


def too_large(limit: int) -> Refused:
    """413: a body beyond the limit."""
    return Refused(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(offered: Sequence[str]) -> Refused:
    """415: a body in a form that this verb does not take."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(offered)
    return Refused(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Refused:
    """422: the object was read and is not possible. ``kind`` is the kind's name, not the resource's."""
    words = str(causes[0]) if len(causes) == 1 else "[" + ", ".join(map(str, causes)) + "]"
    details = named(group, kind, name) | {"causes": [_cause(each) for each in causes]}
    return Refused(422, "Invalid", f'{_resource(group, kind)} "{name}" is invalid: {words}', details)


def too_large_revision(asked: int, current: int) -> Refused:
    """504: a list at least as new as a revision that has not been yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return Refused(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def internal() -> Refused:
    """500: our own mistake; the log has it."""
    return Refused(500, "InternalError", "Internal error occurred: see the server's log")


def internal_error(message: str) -> Refused:
    """500: something that this server relies on does not work; the message says what."""
    return Refused(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def timed_out() -> Refused:
    """504: what had to be asked did not answer within the request's time."""
    return Refused(504, "Timeout", "Timeout: request did not complete within requested timeout", {})


def unavailable(message: str) -> Refused:
    """503: something behind this server does not answer (a node's log server)."""
    return Refused(503, "ServiceUnavailable", message)


def _cause(cause: Cause) -> dict[str, str]:
    return {"reason": cause.reason, "message": cause.message, "field": cause.field}
