"""The kinds of ``authentication.k8s.io`` that are asked and never kept: TokenReview and SelfSubjectReview.

Here because whoever is shown a token asks the API server whose it is. Leaves out the deciding: ``authenticator``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from comparisons.lab.api import (
    answers,
    asking,
    authenticator,
    change,
    decoding,
    kinds,
    managing,
    resources,
    status,
    users,
)

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Reviews:
    """The handlers, over one authenticator."""

    known: authenticator.Authenticator

    async def handle(self, request: web.Request, kind: kinds.Kind) -> web.Response:
        """Answer a POST of such an object; raises Refused."""
        if request.method != "POST":
            raise status.method_not_allowed()
        decoded = decoding.decode(await resources.body(request), kind, asking.field_validation(request.query))
        who = resources.write(request)
        asked = {**decoded.value, "metadata": dict(decoded.value.get("metadata") or {})}
        if kind is kinds.TOKEN_REVIEW:
            managing.record(kind, None, asked, who)
            answer = self.token_review(asked, who)
        else:
            answer = _self_subject_review(asked, request[users.KEY], who)
        return answers.respond(answer, 201, warnings=decoded.warnings)

    def token_review(self, asked: Value, who: change.Change) -> Value:
        """Return a TokenReview with its status; raises Refused."""
        spec = asked.get("spec") or {}
        if not spec.get("token"):
            raise status.bad_request("token is required for TokenReview in authentication")
        try:
            found = self.known.authenticate(spec["token"], spec.get("audiences") or (), who.now_wall_ns)
        except authenticator.Unauthenticated as error:
            return {**asked, "status": {"user": {}, "error": str(error)}}
        said = {"authenticated": True, "user": found.user.info(), "audiences": list(found.audiences)}
        return {**asked, "status": said}


def _self_subject_review(asked: Value, user: users.User, who: change.Change) -> Value:
    metadata = {**asked["metadata"], "creationTimestamp": who.time}
    return {**asked, "metadata": metadata, "status": {"userInfo": user.info()}}


PATHS: Mapping[str, kinds.Kind] = {f"{kind.root}/{kind.plural}": kind for kind in kinds.ASKED}
