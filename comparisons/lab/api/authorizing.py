"""Who may do what: roles and bindings as Kubernetes' RBAC reads them, over the objects of the store.

Here so that programs can be run with exactly the rights that they ship with. Off unless a lab is brought up with it;
then the server keeps what every cluster starts with (``FOUNDATION``): administrators may do everything, everybody may
ask what there is and who they are. Pure but for reading the store. Leaves out node restriction, impersonation,
aggregated roles, that an apply which creates needs ``create`` as well, and that nobody gives rights that he has not.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from comparisons.lab.api import kinds, status, store, users

Value = dict[str, Any]

GROUP: Final = "rbac.authorization.k8s.io"
MASTERS: Final = "system:masters"
"""Whoever is in it is asked nothing (k8s.io/apiserver/pkg/authentication/user.SystemPrivilegedGroup)."""
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "HEAD": "get", "DELETE": "delete"}
_COLLECTIVE: Final = {"get": "list", "delete": "deletecollection"}
_CLUSTER_ROLE, _CLUSTER_ROLE_BINDING, _ROLE, _ROLE_BINDING = kinds.ROLES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request as an authorizer sees it (k8s.io/apiserver/pkg/authorization/authorizer.Attributes)."""

    verb: str
    group: str = ""
    resource: str = ""
    """Plural; "" where a path is asked for."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Of a request for no resource."""

    @property
    def full(self) -> str:
        """``pods`` or ``pods/log``: how rules name it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def understood(method: str, path: str, query: Mapping[str, str]) -> Wish:
    """Read a request as k8s.io/apiserver/pkg/endpoints/request.RequestInfoFactory does."""
    parts = path.strip("/").split("/")
    verb = _VERBS.get(method, method.lower())
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return Wish(verb=verb, path=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in kinds.NAMESPACE.subresources:
            rest = rest[2:]
    name, subresource = [*rest[1:3], "", ""][:2]
    if not name:
        verb = _COLLECTIVE.get(verb, verb)
        name = _selected(query) if verb in {"list", "deletecollection"} else ""
        if verb == "list" and query.get("watch", "false").lower() not in {"0", "false"}:
            verb = "watch"
    return Wish(verb=verb, group=group, resource=rest[0], subresource=subresource, namespace=namespace, name=name)


def _selected(query: Mapping[str, str]) -> str:
    """Give the name that a field selector asks for: rules for a name hold for such a list."""
    terms = [each.partition("=") for each in query.get("fieldSelector", "").split(",")]
    return next((value.removeprefix("=") for key, _, value in terms if key == "metadata.name"), "")


class Roles:
    """Judges by what is stored at the moment."""

    def __init__(self, objects: store.Store) -> None:
        self._objects = objects

    def allow(self, user: users.User, wish: Wish) -> bool:
        """Tell whether a user may."""
        if MASTERS in user.groups:
            return True
        return any(_covers(rule, wish) for rule in self._rules(user, wish.namespace))

    def check(self, user: users.User, wish: Wish) -> None:
        """Raise Refused (403), in the real server's words, where a user may not."""
        if not self.allow(user, wish):
            raise refusal(user, wish)

    def _rules(self, user: users.User, namespace: str) -> Iterator[Value]:
        for binding in self._objects.objects(_CLUSTER_ROLE_BINDING).values():
            if _binds(binding, user, ""):
                yield from self._of(binding, "")
        for (where, _), binding in self._objects.objects(_ROLE_BINDING).items() if namespace else ():
            if where == namespace and _binds(binding, user, namespace):
                yield from self._of(binding, namespace)

    def _of(self, binding: Value, namespace: str) -> Iterable[Value]:
        named = binding["roleRef"]
        kind, where = (_ROLE, namespace) if named["kind"] == "Role" else (_CLUSTER_ROLE, "")
        found = self._objects.get(kind, (where, named["name"]))
        return (found or {}).get("rules") or ()


def _binds(binding: Value, user: users.User, namespace: str) -> bool:
    return any(_is(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is(subject: Value, user: users.User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case _:
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"


def _covers(rule: Value, wish: Wish) -> bool:
    if wish.verb not in rule["verbs"] and "*" not in rule["verbs"]:
        return False
    if wish.path:
        return any(_path_matches(each, wish.path) for each in rule.get("nonResourceURLs") or ())
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    names = rule.get("resourceNames") or ()
    wanted = {"*", wish.full, *([f"*/{wish.subresource}"] if wish.subresource else [])}
    in_group = wish.group in groups or "*" in groups
    return in_group and bool(wanted & set(resources)) and (not names or wish.name in names)


def _path_matches(said: str, path: str) -> bool:
    return path == said or (said.endswith("*") and path.startswith(said[:-1]))


def refusal(user: users.User, wish: Wish) -> status.Refused:
    """Word a refusal (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters.Forbidden)."""
    if wish.path:
        message = f'forbidden: User "{user.name}" cannot {wish.verb} path "{wish.path}"'
        return status.Refused(403, "Forbidden", message, {})
    where = f'in the namespace "{wish.namespace}"' if wish.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {wish.verb} resource "{wish.full}" in API group "{wish.group}" {where}'
    plural = f"{wish.resource}.{wish.group}" if wish.group else wish.resource
    name = f' "{wish.name}"' if wish.name else ""
    details = status.named(wish.group, wish.resource, wish.name)
    return status.Refused(403, "Forbidden", f"{plural}{name} is forbidden: {why}", details)


def _role(name: str, *rules: Value) -> tuple[kinds.Kind, Value]:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    return _CLUSTER_ROLE, {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def _binding(name: str, *groups: str) -> tuple[kinds.Kind, Value]:
    subjects = [{"kind": "Group", "apiGroup": GROUP, "name": group} for group in groups]
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    value = {"metadata": {"name": name, "labels": labels}, "roleRef": reference, "subjects": subjects}
    return _CLUSTER_ROLE_BINDING, value


_EVERYTHING: Final = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_EVERY_PATH: Final = {"nonResourceURLs": ["*"], "verbs": ["*"]}
_ASK_OF_ONESELF: Final = (
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
)
_KNOWN_PATHS: Final = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"]
_HEALTH: Final = ["/healthz", "/livez", "/readyz"]
_ISSUER: Final = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks"]
FOUNDATION: Final = (
    _role("cluster-admin", _EVERYTHING, _EVERY_PATH),
    _binding("cluster-admin", MASTERS),
    _role("system:basic-user", *_ASK_OF_ONESELF),
    _binding("system:basic-user", users.AUTHENTICATED),
    _role("system:discovery", {"nonResourceURLs": [*_HEALTH, *_KNOWN_PATHS], "verbs": ["get"]}),
    _binding("system:discovery", users.AUTHENTICATED),
    _role("system:service-account-issuer-discovery", {"nonResourceURLs": _ISSUER, "verbs": ["get"]}),
    _binding("system:service-account-issuer-discovery", "system:serviceaccounts"),
)
"""Those of plugin/pkg/auth/authorizer/rbac/bootstrappolicy that a lab has somebody for."""
