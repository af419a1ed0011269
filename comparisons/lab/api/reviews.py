"""The kinds that are asked and never kept: TokenReview, SelfSubjectReview and SelfSubjectAccessReview.

Here because whoever is shown a token asks the API server whose it is, and whoever wants to do something may ask first.
Leaves out the deciding: ``authenticator``, ``authorizing``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from comparisons.lab.api import (
    answers,
    asking,
    authenticator,
    authorizing,
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
    """The handlers, over one authenticator and, if rights count, their roles."""

    known: authenticator.Authenticator
    roles: authorizing.Roles | None

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
        elif kind is kinds.SELF_SUBJECT_ACCESS_REVIEW:
            answer = self.access_review(asked, request[users.KEY])
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

    def access_review(self, asked: Value, user: users.User) -> Value:
        """Return a SelfSubjectAccessReview with its status; raises Refused."""
        spec = asked.get("spec") or {}
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (resource is None) == (path is None):
            words = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            cause = status.bad("spec.resourceAttributes", resource, words)
            raise status.invalid("authorization.k8s.io", "SelfSubjectAccessReview", "", [cause])
        keys = ("verb", "group", "resource", "subresource", "namespace", "name", "path")
        said: Value = resource or path or {}
        wish = authorizing.Wish(**{"verb": "", **{key: said[key] for key in keys if key in said}})
        return {**asked, "status": {"allowed": self.roles is None or self.roles.allow(user, wish)}}


def _self_subject_review(asked: Value, user: users.User, who: change.Change) -> Value:
    metadata = {**asked["metadata"], "creationTimestamp": who.time}
    return {**asked, "metadata": metadata, "status": {"userInfo": user.info()}}


PATHS: Mapping[str, kinds.Kind] = {f"{kind.root}/{kind.plural}": kind for kind in kinds.ASKED}
