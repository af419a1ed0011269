"""JSON patch (RFC 6902) operations on a value, with the words of the library that the real server uses.

Here so that what a webhook's patch does wrong reads as users know it. Pure: the value is not changed. Rules:
gopkg.in/evanphx/json-patch.v4. Leaves out a client's PATCH: ``patching``.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any

import jsonpatch
import jsonpointer

Value = dict[str, Any]

MOST = 10_000
"""k8s.io/apiserver/pkg/endpoints/handlers: maxJSONPatchOperations."""
KNOWN = ("add", "remove", "replace", "move", "copy", "test")


class Inapplicable(Exception):  # noqa: N818  # it reads as what happened
    """The patch does not fit the value."""


def applied(value: Value, operations: Sequence[Value]) -> Value:
    """Return the value after the operations; raises Inapplicable."""
    if len(operations) > MOST:
        raise Inapplicable(f"the patch has {len(operations)} operations, at most {MOST} are allowed")
    changed: Any = copy.deepcopy(value)
    for operation in operations:
        changed = _one(changed, operation)
    if not isinstance(changed, dict):
        raise Inapplicable("the patch leaves no object")
    return changed


def _one(value: Any, operation: Value) -> Any:
    name = operation.get("op")
    if name not in KNOWN:
        raise Inapplicable(f"Unexpected kind: {name}")
    try:
        return jsonpatch.apply_patch(value, [operation], in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        path = operation.get("path")
        raise Inapplicable(f"testing value {path} failed: test failed") from error
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
        AttributeError,
        ValueError,
        RecursionError,
    ) as error:
        path = json.dumps(operation.get("from" if name in {"move", "copy"} else "path"))
        raise Inapplicable(f"{name} operation does not apply: doc is missing path: {path}: missing value") from error
