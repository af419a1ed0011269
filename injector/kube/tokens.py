"""Who a token belongs to: one TokenReview, read strictly.

Here because a token is all the proof that a pod brings, and only the API server can tell whether it is genuine, meant
for us and still bound to a pod that exists. Answers are not kept: a pod asks about once in 17 h, so that a cache would
never be hit by the honest, and would only lengthen the life of a deleted pod's token (kube-apiserver itself keeps its
answer for some 10 s, which cannot be helped).

Leaves out what the proof is good for: ``injector.identity``.
"""

import dataclasses
import enum
import re
import typing
from collections.abc import Mapping
from typing import Any, Final

from injector import errors
from injector.kube import rest
from ipseity import identity, kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Of a projected token about 1.2 kB are used; a header of a request may hold 8 to 16 kB, so nobody has longer ones."""
_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_TIMEOUT_S: Final = 5.0
_SUBJECT: Final = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""An RFC 1123 subdomain, as the API server has pod names."""
_UID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class Reason(enum.StrEnum):
    """Why a token proves nothing, or not enough."""

    TOKEN_MISSING = "token_missing"  # noqa: S105  # a name of a reason
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105  # a name of a reason
    """No JWT, or too long: the API server is not asked."""
    TOKEN_INVALID = "token_invalid"  # noqa: S105  # a name of a reason
    """The API server says no: a wrong signature, expired, its pod or account deleted, or meant for somebody else."""
    NO_SERVICE_ACCOUNT = "no_service_account"
    """Genuine, but a user's, or a node's."""
    NOT_POD_BOUND = "not_pod_bound"
    """Genuine, but not bound to a pod, as ``kubectl create token`` makes them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a token proves."""

    account: identity.ServiceAccount
    pod: identity.PodRef


class Reviewer:
    """Asks one API server, for one audience."""

    def __init__(self, api: "client.ApiClient", *, audience: str) -> None:
        self._api = api
        self._audience = audience

    async def prove(self, token: str) -> Proof:
        """Say whose token it is. Raises Refused; KubernetesError if the API server cannot tell now."""
        check_form(token)
        spec = {"token": token, "audiences": [self._audience]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return judge(await rest.create(self._api, _PATH, body, timeout_s=_TIMEOUT_S), audience=self._audience)


def check_form(token: str) -> None:
    """Refuse what cannot be a token, without asking anybody."""
    if not token:
        raise errors.Refused(
            "the request has no token",
            reason=Reason.TOKEN_MISSING,
            hint="send the content of the projected token file",
        )
    if len(token) > MAX_TOKEN_BYTES or not _JWT.fullmatch(token):
        raise errors.Refused(
            f"the token of {len(token)} characters is no JWT of at most {MAX_TOKEN_BYTES}",
            reason=Reason.TOKEN_MALFORMED,
            hint="send the content of the projected token file, without white space",
        )


def judge(review: rest.Json, *, audience: str) -> Proof:
    """Read a TokenReview's answer. Raises Refused; KubernetesError where it is no such answer."""
    status = review.get("status")
    if not isinstance(status, Mapping):
        raise kube.KubernetesError("the API server answered a TokenReview without a status")
    if status.get("authenticated") is not True:
        said = str(status.get("error") or "it is not valid")[:500]
        raise errors.Refused(
            f"the API server does not accept the token: {said}",
            reason=Reason.TOKEN_INVALID,
            hint=f"it must be a projected token with audience {audience}, of a pod that still exists",
        )
    audiences = status.get("audiences")
    if not isinstance(audiences, list) or audience not in audiences:
        # An authenticator that knows no audiences leaves them out: then the token was not checked for ours.
        raise errors.Refused(
            f"the token is not meant for {audience}",
            reason=Reason.TOKEN_INVALID,
            hint=f"project it with audience {audience}",
        )
    user = status.get("user")
    return _proof(user if isinstance(user, Mapping) else {})


def _proof(user: Mapping[str, Any]) -> Proof:
    username = str(user.get("username", ""))
    subject = _SUBJECT.fullmatch(username)
    if subject is None:
        raise _no_account(username)
    try:
        account = identity.ServiceAccount(*subject.groups())
    except identity.InvalidIdentity as error:
        raise _no_account(username) from error
    extra = user.get("extra")
    name, uid = _only(extra, _POD_NAME), _only(extra, _POD_UID)
    if not _NAME.fullmatch(name) or not _UID.fullmatch(uid):
        raise errors.Refused(
            f"the token of {account} is not bound to a pod",
            reason=Reason.NOT_POD_BOUND,
            hint="use the pod's projected token; one from `kubectl create token` is bound to no pod",
        )
    return Proof(account=account, pod=identity.PodRef(account.namespace, name, uid))


def _no_account(username: str) -> errors.Refused:
    return errors.Refused(
        f"{username[:300]!r} is no service account",
        reason=Reason.NO_SERVICE_ACCOUNT,
        hint="use the pod's projected token",
    )


def _only(extra: object, key: str) -> str:
    """Give the single value of an extra; empty where there is none or more than one."""
    values = extra.get(key) if isinstance(extra, Mapping) else None
    match values:
        case [str() as value]:
            return value
        case _:
            return ""
