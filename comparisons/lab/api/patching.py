"""A PATCH body and an object -> the new object, for the three forms that need no field owners.

Server-side apply is the fourth form and has its own page, ``applying``. Pure: the stored object is not changed.
"""

import copy
import enum
from typing import Any

import jsonpatch
import jsonpointer

from comparisons.lab.api import decoding, kinds, status, strategic

Value = dict[str, Any]

MAX_OPERATIONS = 10_000
"""k8s.io/apiserver/pkg/endpoints/handlers: maxJSONPatchOperations."""


class PatchType(enum.StrEnum):
    """The media types of PATCH."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY_YAML = "application/apply-patch+yaml"


def patch_type(media_type: str, kind: kinds.Kind) -> PatchType:
    """Return the form of a PATCH; raises Refused (415). Custom kinds have no strategic form: their keys are unknown."""
    possible = [each for each in PatchType if kind.custom is None or each is not PatchType.STRATEGIC]
    if media_type not in possible:
        raise status.unsupported_media_type([each.value for each in possible])
    return PatchType(media_type)


def patched(form: PatchType, shape: str, original: Value, body: bytes) -> Value:
    """Return the object after the patch; raises Refused."""
    if form is PatchType.JSON:
        return _json(original, body)
    patch = decoding.mapping(body, decoding.JSON)
    if form is PatchType.MERGE:
        result: Value = merged(original, patch)
        return result
    try:
        return strategic.merge(shape, original, patch)
    except strategic.BadPatch as error:
        raise status.bad_request(str(error)) from error


def _json(original: Value, body: bytes) -> Value:
    operations = decoding.parse(body, decoding.JSON)
    if not isinstance(operations, list):
        raise status.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise status.too_large(MAX_OPERATIONS)
    try:
        changed: Value = jsonpatch.apply_patch(copy.deepcopy(original), operations, in_place=True)
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        raise status.Refused(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
        ) from error
    if not isinstance(changed, dict):
        raise status.bad_request("the patch leaves no object")
    return changed


def merged(original: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    base = original if isinstance(original, dict) else {}
    result = {key: value for key, value in base.items() if key not in patch}
    for key, value in patch.items():
        if value is not None:
            result[key] = merged(base.get(key), value)
    return result
