"""From an admission request to its answer: read, decide, patch, say. Pure.

Here because the server, the tests and whoever measures must run the very same. Leaves out HTTP (``server``), where the
namespace's annotations come from (``namespaces``), and telling anybody (``announcements``).
"""

import dataclasses
import http
from collections.abc import Mapping
from typing import Final

from injector.sidecar import spec
from injector.webhook import decide, patch, review
from injector.webhook import pod as pods

MALFORMED: Final = "malformed"
_OURS: Final = review.Resource(group="", version="v1", resource="pods")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was answered, and what there is to tell about it."""

    answer: bytes
    """AdmissionReview, JSON."""
    result: str
    """``inject``, ``skip`` or ``deny``."""
    reason: str = ""
    """A decide.Reason, a decide.Refusal or MALFORMED; empty for ``inject``."""
    message: str = ""
    """In words, for an Event; empty: there is nothing to tell."""
    pod: pods.Pod | None = None
    """None where it could not be read, or need not be."""


def is_pod(request: review.Review) -> bool:
    """Tell whether the request is one that may end in an injection."""
    return (request.resource, request.operation, request.sub_resource) == (_OURS, "CREATE", "")


def answer(request: review.Review, said: Mapping[str, str], installation: spec.Installation) -> Outcome:
    """Answer a request; ``said`` is the annotations of its namespace."""
    if not is_pod(request):
        return _skip(request.uid, decide.Skip(reason=decide.Reason.UNSUPPORTED_RESOURCE), None)
    try:
        pod = pods.decode(request.object)
    except pods.MalformedPod as error:
        refusal = review.refuse(request.uid, f"ipseity: {error}", http.HTTPStatus.BAD_REQUEST)
        return Outcome(answer=refusal, result="deny", reason=MALFORMED)
    match decide.decide(pod, request.namespace, said):
        case decide.Inject() as decision:
            operations = patch.make(pod, decision, installation)
            admitted = review.admit(request.uid, patch=patch.encode(operations), warnings=decision.warnings)
            return Outcome(answer=admitted, result="inject", message="sidecar injected", pod=pod)
        case decide.Skip() as decision:
            return _skip(request.uid, decision, pod)
        case decide.Deny(refusal=reason, message=message):
            refused = review.refuse(request.uid, f"ipseity: {message}", http.HTTPStatus.BAD_REQUEST)
            return Outcome(answer=refused, result="deny", reason=reason, message=message, pod=pod)


def _skip(uid: str, decision: decide.Skip, pod: pods.Pod | None) -> Outcome:
    return Outcome(
        answer=review.admit(uid, warnings=decision.warnings),
        result="skip",
        reason=decision.reason,
        message=f"sidecar not injected: {decide.SENTENCES[decision.reason]}",
        pod=pod,
    )
