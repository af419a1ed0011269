"""When a pod's tokens are asked for again. Leaves out the API server's side: the contract tests have it."""

from typing import Any, cast

import pytest

from comparisons.lab import clock, cluster, credentials, volumes
from ipseity import kube

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
WISH = volumes.TokenWish(audience="a", ttl_s=600)


class Issuer:
    """An API that gives tokens of some life, or refuses. Stands in for ``cluster.Cluster``."""

    def __init__(self) -> None:
        self.given = 0
        self.life_s = 600
        self.refusal: kube.KubernetesError | None = None

    async def token(self, pod: dict[str, Any], audience: str, ttl_s: int) -> dict[str, Any]:
        """Answer as TokenRequest."""
        if self.refusal is not None:
            raise self.refusal
        self.given += 1
        end = clock.rfc3339(clock.wall_ns() + self.life_s * 10**9)
        return {"token": f"token-{self.given}", "expirationTimestamp": end}


@pytest.fixture
def issuer() -> Issuer:
    """Return an API."""
    return Issuer()


@pytest.fixture
def kept(issuer: Issuer) -> credentials.Credentials:
    """Return a pod's tokens."""
    return credentials.Credentials(cast("cluster.Cluster", issuer))


async def current(kept: credentials.Credentials) -> str:
    """Return the token that the pod has now."""
    return (await kept.current(POD, [WISH]))["a", 600]


async def test_asked_once(kept: credentials.Credentials) -> None:
    """Not at every look."""
    assert ["token-1", "token-1"] == [await current(kept), await current(kept)]


async def test_renewed_before_its_end(issuer: Issuer, kept: credentials.Credentials) -> None:
    """One that has no life left is replaced; if that fails it is an error."""
    issuer.life_s = 0
    assert ["token-1", "token-2"] == [await current(kept), await current(kept)]
    issuer.refusal = kube.KubernetesError("away", status=503)
    with pytest.raises(kube.KubernetesError, match="away"):
        await current(kept)


async def test_an_api_without_tokens(issuer: Issuer, kept: credentials.Credentials) -> None:
    """Said apart: the pod runs without."""
    issuer.refusal = kube.KubernetesError("no such path", status=404)
    with pytest.raises(credentials.Unavailable):
        await current(kept)
    assert kept.due_wall_ns() is None


@pytest.mark.parametrize(("life_s", "due_s"), [(600, 480), (100 * 3600, 24 * 3600), (0, 0)])
def test_when_it_is_due(life_s: int, due_s: int) -> None:
    """At four fifths of its life, or after a day."""
    made = credentials.Token(text="", issued_wall_ns=7 * 10**9, expires_wall_ns=(7 + life_s) * 10**9)
    assert (7 + due_s) * 10**9 == made.due_wall_ns
