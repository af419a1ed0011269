"""What a token proves, from the answers of a real API server. Leaves out invented answers (tests/sim)."""

import copy
import json
from typing import Any

import pytest

from injector import errors
from injector.kube import tokens
from ipseity import identity, kube
from tests.fakes import mesh_api, recordings

GOOD = "tokenreview-bound-custom-audience"
TOKEN = recordings.load(GOOD)["request"]["spec"]["token"]
PROOF = tokens.Proof(
    account=identity.ServiceAccount("rec", "app"),
    pod=identity.PodRef("rec", "bare", "464ba0a2-d99d-45d2-8304-a594e6982906"),
)


def judged(review: Any) -> tokens.Proof:
    return tokens.judge(review, audience=mesh_api.AUDIENCE)


def reason_of(review: Any) -> str:
    with pytest.raises(errors.Refused) as caught:
        judged(review)
    return caught.value.reason


@pytest.mark.parametrize("name", [GOOD, "tokenreview-pod-deleted-cached", "tokenreview-two-audiences"])
def test_a_genuine_token_proves_account_and_pod(name: str) -> None:
    """Name and UID of the pod are the API server's word. A deleted pod's token passes for some 10 s: its cache."""
    assert PROOF == judged(recordings.load(name)["response"])


@pytest.mark.parametrize(
    "name",
    [
        "tokenreview-api-audience-token",
        "tokenreview-bad-signature",
        "tokenreview-garbage",
        "tokenreview-no-audience-asked",
        "tokenreview-pod-deleted",
        "tokenreview-wrong-audience",
    ],
)
def test_any_other_token_is_refused(name: str) -> None:
    """Forged, for somebody else, or of a pod that is gone."""
    assert tokens.Reason.TOKEN_INVALID == reason_of(recordings.load(name)["response"])


def changed(**user: Any) -> Any:
    review = copy.deepcopy(recordings.load(GOOD)["response"])
    review["status"]["user"].update(user)
    return review


@pytest.mark.parametrize("key", ["pod-name", "pod-uid"])
@pytest.mark.parametrize("values", [None, [], ["a", "b"], [""], [None], [5], "bare", ["UPPER/case"]])
def test_a_token_without_its_pod_is_refused(key: str, values: Any) -> None:
    """As `kubectl create token` makes them: nobody could say whose certificate it was."""
    extra = dict(recordings.load(GOOD)["response"]["status"]["user"]["extra"])
    extra[f"authentication.kubernetes.io/{key}"] = values
    assert tokens.Reason.NOT_POD_BOUND == reason_of(changed(extra=extra))


@pytest.mark.parametrize(
    "username",
    [
        "",
        "admin",
        "system:node:a",
        "system:serviceaccount:rec",
        "system:serviceaccount:a:b:c",
        "system:serviceaccount:A:b",
    ],
)
def test_a_user_is_no_service_account(username: str) -> None:
    """The name decides, in Kubernetes' own form."""
    assert tokens.Reason.NO_SERVICE_ACCOUNT == reason_of(changed(username=username))


def test_an_answer_that_does_not_name_our_audience_is_no_proof() -> None:
    """An authenticator that knows no audiences leaves them out: it has not checked."""
    review = copy.deepcopy(recordings.load(GOOD)["response"])
    del review["status"]["audiences"]
    assert tokens.Reason.TOKEN_INVALID == reason_of(review)
    review["status"]["audiences"] = ["somebody-else"]
    assert tokens.Reason.TOKEN_INVALID == reason_of(review)


def test_an_answer_without_a_status_is_the_servers_trouble() -> None:
    """Then nothing is known about the token: no refusal."""
    with pytest.raises(kube.KubernetesError):
        judged({"kind": "TokenReview"})


async def test_what_is_asked_is_what_was_recorded() -> None:
    """The request's form, for our audience."""
    fake = mesh_api.FakeMeshApi()
    async with fake.running() as api:
        assert PROOF == await tokens.Reviewer(api, audience=mesh_api.AUDIENCE).prove(TOKEN)
    assert [recordings.load(GOOD)["request"]] == fake.reviews


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c\n", "a.b.c d", "a." + "b" * tokens.MAX_TOKEN_BYTES + ".c", "ä.b.c"]
)
async def test_what_is_no_token_is_not_even_asked_about(token: str) -> None:
    """The API server is not ours to flood."""
    fake = mesh_api.FakeMeshApi()
    async with fake.running() as api:
        with pytest.raises(errors.Refused):
            await tokens.Reviewer(api, audience=mesh_api.AUDIENCE).prove(token)
    assert [] == fake.reviews


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_trouble_of_the_api_server_is_no_refusal(status: int) -> None:
    """Whoever asks comes back later."""
    fake = mesh_api.FakeMeshApi()
    fake.failing = status
    async with fake.running() as api:
        with pytest.raises(kube.KubernetesError) as caught:
            await tokens.Reviewer(api, audience=mesh_api.AUDIENCE).prove(TOKEN)
    assert status == caught.value.status
    assert TOKEN not in json.dumps([str(caught.value), caught.value.hint])


async def test_an_api_server_that_is_away_is_no_refusal() -> None:
    """Nor an answer that never came."""
    fake = mesh_api.FakeMeshApi()
    async with fake.running() as api:
        reviewer = tokens.Reviewer(api, audience=mesh_api.AUDIENCE)
        api.configuration.host = "http://127.0.0.1:1"
        with pytest.raises(kube.KubernetesError):
            await reviewer.prove(TOKEN)
