"""What the server says of its token issuer, so that others can check tokens without asking it (OpenID discovery)."""

import dataclasses

from aiohttp import web

from comparisons.lab.api import answers, tokens

KEYS_PATH = "/openid/v1/jwks"
MAY_BE_CACHED = "public, max-age=3600"
"""k8s.io/kubernetes/pkg/routes/openidmetadata.go: cacheControl."""


@dataclasses.dataclass(frozen=True, slots=True)
class Issuance:
    """The two documents."""

    signer: tokens.Signer
    url: str
    """Where this server is reached, as the documents say it."""

    def answer(self, path: list[str]) -> web.Response:
        """Return ``/.well-known/openid-configuration``, or the key set."""
        is_keys = path[0] == "openid"
        said = self.signer.keys() if is_keys else tokens.discovery(f"{self.url}{KEYS_PATH}")
        response = answers.respond(said)
        response.headers["Cache-Control"] = MAY_BE_CACHED
        if is_keys:
            response.content_type = "application/jwk-set+json"
        return response
