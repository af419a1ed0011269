"""TokenRequest: a POST to ``serviceaccounts/<name>/token`` is answered with a token, as ``kubectl create token`` asks.

Rules and words: k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go. Leaves out a limit on lifetimes
(``--service-account-max-token-expiration``), which a cluster need not have.
"""

import dataclasses
import uuid
from typing import Any

from aiohttp import web

from comparisons.lab import clock
from comparisons.lab.api import (
    access,
    answers,
    asking,
    authenticator,
    change,
    decoding,
    kinds,
    managing,
    registry,
    resources,
    status,
    tokens,
)

Value = dict[str, Any]

SHAPE = "AuthenticationV1TokenRequest"
DEFAULT_S = 3600
SHORTEST_S, LONGEST_S = 600, 2**32
EXTENDED_S = 365 * 24 * 3600
"""How long such a token really lives (ExpirationExtensionSeconds): clients that read it only once go on working."""


@dataclasses.dataclass(frozen=True, slots=True)
class TokenRequests:
    """The handler."""

    rules: registry.Registry
    signer: tokens.Signer

    async def handle(self, request: web.Request, target: asking.Target) -> web.Response:
        """Answer with the request and a token in its status; raises Refused."""
        validation = asking.field_validation(request.query)
        kind = kinds.TOKEN_REQUEST
        said = decoding.shaped(await resources.body(request), SHAPE, kind.kind, kind.api_version, validation)
        account = self.rules.get(kinds.SERVICE_ACCOUNT, (target.namespace, target.name))
        who = resources.write(request, "token")
        asked = _completed(said.value, account, who)
        claims = self._claims(asked["spec"], account, who.now_wall_ns // 10**9)
        expires_ns = who.now_wall_ns + asked["spec"]["expirationSeconds"] * 10**9
        managing.record(kind, None, asked, who)
        given = {"token": self.signer.sign(claims), "expirationTimestamp": clock.rfc3339(expires_ns)}
        return answers.respond({**asked, "status": given}, 201, warnings=said.warnings)

    def _claims(self, spec: Value, account: Value, now_s: int) -> tokens.Claims:
        meta, lifetime_s, warn_after_s = account["metadata"], spec["expirationSeconds"], 0
        bound = self._bound(spec.get("boundObjectRef"), meta["namespace"], meta["name"])
        if "pod" in bound and lifetime_s == access.TOKEN_S and set(spec["audiences"]) <= {*authenticator.API_AUDIENCES}:
            lifetime_s, warn_after_s = EXTENDED_S, now_s + access.TOKEN_S
        return tokens.Claims(
            identity=str(uuid.uuid4()),
            audiences=tuple(spec["audiences"]),
            namespace=meta["namespace"],
            account=tokens.Reference(name=meta["name"], uid=meta["uid"]),
            issued_s=now_s,
            expires_s=now_s + lifetime_s,
            bound=bound,
            warn_after_s=warn_after_s,
        )

    def _bound(self, reference: Value | None, namespace: str, account: str) -> dict[str, tokens.Reference]:
        """Return what the token ends with, if it is to end with something; raises Refused if that is not there."""
        if reference is None:
            return {}
        kind = BOUND.get((reference.get("apiVersion", ""), reference.get("kind", "")))
        if kind is None:
            raise status.bad_request(f"cannot bind token to object of type {_go_kind(reference)}")
        name = reference.get("name", "")
        found = self.rules.get(kind, (namespace if kind.namespaced else "", name))
        if kind is kinds.POD and found["spec"]["serviceAccountName"] != account:
            words = (
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
            raise status.bad_request(words)
        uid = found["metadata"]["uid"]
        if reference.get("uid") not in {None, "", uid}:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
                " The object might have been deleted and then recreated"
            )
            raise status.conflict("", kind.kind, name, why)
        return {kind.singular: tokens.Reference(name=name, uid=uid), **self._node_of(kind, found)}

    def _node_of(self, kind: kinds.Kind, found: Value) -> dict[str, tokens.Reference]:
        """Return the node of a pod: its token also says where the pod is."""
        name = found["spec"].get("nodeName") if kind is kinds.POD else None
        if not name:
            return {}
        node = self.rules.store.get(kinds.NODE, ("", name))
        return {"node": tokens.Reference(name=name, uid=node["metadata"]["uid"] if node is not None else "")}


BOUND = {(kind.api_version, kind.kind): kind for kind in (kinds.POD, kinds.NODE, kinds.SECRET)}


def _go_kind(reference: Value) -> str:
    """As Go prints a GroupVersionKind."""
    group, _, version = reference.get("apiVersion", "").rpartition("/")
    return f"{group}/{version}, Kind={reference.get('kind', '')}"


def _completed(said: Value, account: Value, who: change.Change) -> Value:
    """Return the request with its defaults and its metadata; raises Refused."""
    meta, spec = said.get("metadata") or {}, {**(said.get("spec") or {})}
    for part, words in (("name", "name"), ("namespace", "namespace")):
        if meta.get(part) not in {None, "", account["metadata"][part]}:
            why = f"must match the service account {words} if specified"
            cause = status.bad(f"metadata.{part}", meta[part], why)
            raise _invalid(account["metadata"]["name"], cause)
    spec["audiences"] = spec.get("audiences") or list(authenticator.API_AUDIENCES)
    seconds = spec.setdefault("expirationSeconds", DEFAULT_S)
    if seconds < SHORTEST_S:
        why = "may not specify a duration less than 10 minutes"
        raise _invalid("", status.bad("spec.expirationSeconds", seconds, why))
    if seconds > LONGEST_S:
        why = "may not specify a duration larger than 2^32 seconds"
        raise _invalid("", status.bad("spec.expirationSeconds", seconds, why))
    own = {key: account["metadata"][key] for key in ("name", "namespace", "uid")}
    return {**said, "metadata": {**meta, **own, "creationTimestamp": who.time}, "spec": spec}


def _invalid(name: str, cause: status.Cause) -> status.Refused:
    return status.invalid(kinds.TOKEN_REQUEST.group, kinds.TOKEN_REQUEST.kind, name, [cause])
