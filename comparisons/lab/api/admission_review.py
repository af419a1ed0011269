"""The AdmissionReview that a webhook is sent, and the one that it answers, checked and worded as the real server does.

Pure. The form is pinned by recordings of a real server; version v1 only. Rules:
k8s.io/apiserver/pkg/admission/plugin/webhook/request. Leaves out how it travels: ``calling``.
"""

import base64
import dataclasses
from typing import Any

import msgspec

from comparisons.lab.api import attributes

Value = dict[str, Any]

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
JSON_PATCH = "JSONPatch"


class Unusable(Exception):  # noqa: N818  # it reads as what happened
    """The answer is no answer; the text says why. Whether the write goes on is ``failurePolicy``'s to say."""


class PatchUnreadable(Exception):  # noqa: N818  # it reads as what happened
    """The answer has a patch that is no list of operations; the write fails whatever ``failurePolicy`` says."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a webhook said."""

    allowed: bool
    result: Value
    """The ``Status`` of a refusal, or what there is of it."""
    warnings: tuple[str, ...]
    patch: bytes
    """The patch as it was sent; empty for none."""
    patch_type: str


def request(asked: attributes.Attributes, uid: str) -> Value:
    """Return the review's ``request``. Fields that are empty are there or not as in the recordings."""
    group, version, kind = asked.group_version_kind
    as_kind = {"group": group, "version": version, "kind": kind}
    as_resource = {"group": asked.resource.group, "version": asked.resource.version, "resource": asked.resource.plural}
    sub = asked.subresource
    return {
        "uid": uid,
        "kind": as_kind,
        "resource": as_resource,
        **({"subResource": sub} if sub else {}),
        "requestKind": as_kind,
        "requestResource": as_resource,
        **({"requestSubResource": sub} if sub else {}),
        **({"name": asked.name} if asked.name else {}),
        **({"namespace": asked.namespace} if asked.namespace else {}),
        "operation": asked.operation.value,
        "userInfo": asked.write.user.info(),
        "object": asked.object,
        "oldObject": asked.old,
        "dryRun": asked.write.dry_run,
        "options": asked.options,
    }


def body(asked: attributes.Attributes, uid: str) -> bytes:
    """Return what is sent."""
    return msgspec.json.encode({"kind": KIND, "apiVersion": API_VERSION, "request": request(asked, uid)})


def for_conditions(asked: attributes.Attributes) -> Value:
    """Return ``request`` as match conditions see it: without the objects, which are variables of their own."""
    return {key: value for key, value in request(asked, "").items() if key not in {"uid", "object", "oldObject"}}


def verified(said: Any, uid: str, *, mutating: bool) -> Answer:
    """Return the answer that a webhook's body is; raises Unusable."""
    review = _mapping(said, "AdmissionReview")
    response = review.get("response")
    if response is None:
        raise Unusable("webhook response was absent")
    response = _mapping(response, "AdmissionReview.response")
    if (found := _text(response, "uid")) != uid:
        raise Unusable(f'expected response.uid="{uid}", got "{found}"')
    _check_kind(review)
    return Answer(
        allowed=_allowed(response),
        result=_mapping(response.get("status") or {}, "AdmissionResponse.response.status"),
        warnings=_warnings(response),
        patch=_patch(response, mutating=mutating),
        patch_type=_text(response, "patchType"),
    )


def _check_kind(review: Value) -> None:
    api_version, kind = _text(review, "apiVersion"), _text(review, "kind")
    if (api_version, kind) != (API_VERSION, KIND):
        said = api_version or "/"
        raise Unusable(f"expected webhook response of {API_VERSION}, Kind={KIND}, got {said}, Kind={kind}")


def _patch(response: Value, *, mutating: bool) -> bytes:
    encoded, has_type = _text(response, "patch"), response.get("patchType") is not None
    if not mutating and (encoded or has_type):
        raise Unusable(f"validating webhook may not return response.{'patch' if encoded else 'patchType'}")
    if encoded and not has_type:
        raise Unusable("webhook returned response.patch but not response.patchType")
    if has_type and not encoded:
        raise Unusable("webhook returned response.patchType but not response.patch")
    if has_type and not response["patchType"]:
        raise Unusable('webhook returned invalid response.patchType of ""')
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise Unusable(f"illegal base64 data: {error}") from error


def operations(patch: bytes) -> list[Value]:
    """Return the operations of a patch; raises PatchUnreadable."""
    try:
        found: Any = msgspec.json.decode(patch or b"[]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PatchUnreadable(f"the patch is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise PatchUnreadable("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    return found


def _allowed(response: Value) -> bool:
    found = response.get("allowed")
    if found is not None and not isinstance(found, bool):
        raise Unusable("json: cannot unmarshal into Go struct field AdmissionResponse.response.allowed of type bool")
    return bool(found)


def _warnings(response: Value) -> tuple[str, ...]:
    found = response.get("warnings") or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Unusable(
            "json: cannot unmarshal into Go struct field AdmissionResponse.response.warnings of type []string"
        )
    return tuple(found)


def _text(value: Value, field: str) -> str:
    found = value.get(field)
    if found is not None and not isinstance(found, str):
        raise Unusable(f"json: cannot unmarshal into Go struct field {field} of type string")
    return found or ""


def _mapping(value: Any, what: str) -> Value:
    if not isinstance(value, dict):
        raise Unusable(f"json: cannot unmarshal into Go value of type {what}")
    return value
