"""AdmissionReviews for tests: made of a pod, asked as kube-apiserver asks, and the answer taken apart."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from injector.sidecar import spec
from injector.webhook import injection, review

Value = dict[str, Any]

INSTALLATION = spec.Installation(version="0.1.0", image="ipseity:0.1.0", trust_domain="cluster.local")
UID = "6c1f2a34-0000-4000-8000-00000000000b"


def body(pod: object, namespace: str = "shop", **request: object) -> bytes:
    """Write the review of a pod that is being made."""
    asked = {
        "uid": UID,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": pod,
        "dryRun": False,
        **request,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}).encode()


def ask(raw: bytes, said: Mapping[str, str] | None = None) -> injection.Outcome:
    """Answer a review; ``said`` is the annotations of the namespace."""
    return injection.answer(review.read(raw), said or {}, INSTALLATION)


def response(answer: bytes) -> Value:
    """Give the AdmissionResponse, its envelope checked."""
    envelope = json.loads(answer)
    assert ("admission.k8s.io/v1", "AdmissionReview") == (envelope["apiVersion"], envelope["kind"])
    found: Value = envelope["response"]
    return found


def operations(answer: bytes) -> list[Value]:
    """Give the JSON patch; empty if there is none."""
    found = response(answer)
    assert ("patch" in found) == ("patchType" in found)
    assert found.get("patchType") in (None, "JSONPatch")
    decoded: list[Value] = json.loads(base64.b64decode(found.get("patch", "W10=")))
    return decoded


def shown(outcome: injection.Outcome) -> str:
    """Write an outcome for a person: one line each, one operation a line."""
    answered = response(outcome.answer)
    lines = [f"result: {outcome.result} {outcome.reason}".rstrip(), f"allowed: {json.dumps(answered['allowed'])}"]
    lines += [f"warning: {warning}" for warning in answered.get("warnings", ())]
    if "status" in answered:
        lines.append("status: {code} {reason}: {message}".format(**answered["status"]))
    lines += [json.dumps(operation, ensure_ascii=False) for operation in operations(outcome.answer)]
    return "\n".join(lines) + "\n"
