"""The HTTP side: one handler behind a token; refusals become ``Status``, never tracebacks.

Leaves out what the verbs mean (``resources``, ``subresources``) and where the server listens (``app``).
"""

import dataclasses

import structlog
from aiohttp import web

from comparisons.lab import clock
from comparisons.lab.api import (
    answers,
    asking,
    authenticator,
    authorizing,
    discovery,
    issuance,
    openapi,
    resources,
    reviews,
    status,
    subresources,
    users,
)

LOG = structlog.get_logger("lab.api")

BODY_LIMIT = 3 * 1024 * 1024
"""k8s.io/apiserver/pkg/server: MaxRequestBodyBytes."""
OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What the real server's ``system:public-info-viewer`` may see without a token."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """The handlers of one API server."""

    resources: resources.Resources
    subresources: subresources.Subresources
    reviews: reviews.Reviews
    known: authenticator.Authenticator
    issuance: issuance.Issuance
    roles: authorizing.Roles | None = None
    """Who may do what; None: whoever is known may do everything."""

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        response = await self._answer(request)
        if not response.prepared:
            answers.warn(response, request.get(resources.WARNINGS, ()))
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
            if self.roles is not None and request.path not in OPEN_PATHS:
                wish = authorizing.understood(request.method, request.path, request.query)
                self.roles.check(request[users.KEY], wish)
            return await self._route(request)
        except status.Refused as refused:
            return answers.refusal(refused)
        except web.HTTPRequestEntityTooLarge:
            return answers.refusal(status.too_large(BODY_LIMIT))
        except web.HTTPException:
            raise
        except ConnectionError:
            return web.Response()  # whoever asked is gone, and nobody reads it
        except Exception:  # the edge: whatever is wrong with one request must not be the next one's trouble
            LOG.exception("request failed", method=request.method, path=request.path_qs)
            return answers.refusal(status.internal())

    def _authenticate(self, request: web.Request) -> None:
        if request.path in OPEN_PATHS:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise status.unauthorized()
        try:
            request[users.KEY] = self.known.authenticate(token.strip(), (), clock.wall_ns()).user
        except authenticator.Unauthenticated as error:
            raise status.unauthorized() from error

    async def _route(self, request: web.Request) -> web.StreamResponse:
        said = self._say(request)
        if said is not None:
            return said
        if (review := reviews.PATHS.get(request.path.rstrip("/"))) is not None:
            return await self.reviews.handle(request, review)
        target = asking.target(request.path, self.resources.rules.served)
        if target.kind.custom is not None and target.kind.custom.deprecation:
            request.setdefault(resources.WARNINGS, []).append(target.kind.custom.deprecation)
        if target.subresource not in {"", "status"}:
            return await self.subresources.handle(request, target)
        if target.name:
            return await self.resources.one(request, target)
        return await self.resources.collection(request, target)

    def _say(self, request: web.Request) -> web.Response | None:  # noqa: PLR0911  # one line a path
        """Return what the server says about itself; None for a resource's path."""
        served = self.resources.rules.served
        match request.path.strip("/").split("/"):
            case ["healthz" | "livez" | "readyz", *_]:
                return web.Response(text="ok")
            case ["version"]:
                return answers.respond(discovery.VERSION)
            case [".well-known", "openid-configuration"] | ["openid", "v1", "jwks"] as path:
                return self.issuance.answer(path)
            case ["openapi", *rest]:
                return openapi.answer(served, rest, request)
            case ["api"] | ["apis"] as root:
                return self._roots(request, core=root == ["api"])
            case ["apis", group] if group in served.groups():
                return answers.respond(discovery.api_group(served, group))
            case ["api", "v1"]:
                return answers.respond(discovery.resources(served, "", "v1"))
            case ["apis", group, version] if version in served.groups().get(group, ()):
                return answers.respond(discovery.resources(served, group, version))
            case _:
                return None

    def _roots(self, request: web.Request, *, core: bool) -> web.Response:
        served = self.resources.rules.served
        for wish in answers.accepted(request.headers.get("Accept", "")):
            if wish.parameters.get("as") == discovery.AGGREGATED and wish.parameters.get("v") == "v2":
                response = answers.respond(discovery.aggregated(served, core=core))
                response.headers["Content-Type"] = (
                    f"application/json;g=apidiscovery.k8s.io;v=v2;as={discovery.AGGREGATED}"
                )
                return response
        return answers.respond(discovery.api_versions(request.host) if core else discovery.api_groups(served))
