"""Who asks: a user as the API server knows one after authentication, and as ``UserInfo`` says it.

Here because reviews, admission and authorization all speak of the same value. Leaves out how somebody
becomes one: ``authenticator``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from aiohttp import web

Value = dict[str, Any]

AUTHENTICATED = "system:authenticated"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """k8s.io/apiserver/pkg/authentication/user.Info."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def info(self) -> Value:
        """Return ``UserInfo``, without the parts that are empty."""
        extra = {key: list(values) for key, values in self.extra.items()}
        found = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": extra}
        return {key: value for key, value in found.items() if value}


ADMIN = User(name="kubernetes-admin", groups=("system:masters", AUTHENTICATED))
"""Whoever has the kubeconfig of the lab, named as kubeadm names its own."""

KEY = web.RequestKey("user", User)
"""Where an authenticated request carries its user."""


def service_account(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    """Return the user that a service account is (k8s.io/apiserver/pkg/authentication/serviceaccount)."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(name=f"system:serviceaccount:{namespace}:{name}", uid=uid, groups=groups, extra=extra)
