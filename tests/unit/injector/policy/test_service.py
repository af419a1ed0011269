"""Statuses on the wire: one patch each, and what becomes of the refused ones. Leaves out what they say."""

import pytest

from injector.policy import book, service
from tests.fakes import policies, policy_api

NOW = "2026-01-01T00:00:00Z"
PATH = "/apis/ipseity.io/v1alpha1/namespaces/shop/authorizationpolicies/db-clients/status"


def known(count: int = 1) -> book.Book:
    made = book.Book(policies.TRUST_DOMAIN)
    for number in range(count):
        made.apply(policies.item("db-clients" if count == 1 else f"p{number}"))
    return made


async def test_a_status_is_patched_once() -> None:
    """As a JSON patch of the status subresource."""
    kube = policy_api.PolicyApi()
    async with kube.serve() as api:
        statuses = service.Statuses(api)
        assert await statuses.write(known().entries, [policies.pod()], now_s=1, now_text=NOW) is None
    ((path, content_type, body),) = kube.patched
    assert (PATH, "application/json-patch+json", 1) == (path, content_type, body[1]["value"]["targets"])
    assert statuses.counts == service.Counts(written=1)


@pytest.mark.parametrize(
    ("answer", "counts", "again_s"),
    [
        (404, service.Counts(gone=1), None),
        (409, service.Counts(conflicts=1), 6.0),
        (422, service.Counts(failed=1), 6.0),
        (403, service.Counts(failed=1), 6.0),
        (500, service.Counts(failed=1), 6.0),
    ],
)
async def test_a_refused_write_is_counted_and_tried_again(
    answer: int, counts: service.Counts, again_s: float | None
) -> None:
    """But not where the policy is gone."""
    kube = policy_api.PolicyApi()
    kube.answer = answer
    async with kube.serve() as api:
        statuses = service.Statuses(api)
        assert again_s == await statuses.write(known().entries, [], now_s=1, now_text=NOW)
    assert counts == statuses.counts


async def test_a_flood_is_written_in_rounds() -> None:
    """At most 32 at once; the rest a second later."""
    kube = policy_api.PolicyApi()
    async with kube.serve() as api:
        statuses = service.Statuses(api)
        assert await statuses.write(known(37).entries, [], now_s=1, now_text=NOW) == 2.0
    assert len(kube.patched) == 32


def test_the_informer_keeps_what_is_read() -> None:
    """And not the managed fields, which are most of an object."""
    item = policies.item()
    item["metadata"]["managedFields"] = [{}]
    trimmed = service.trim(item)
    assert {"namespace", "name", "uid", "generation"} == set(trimmed["metadata"])
    assert item["spec"] == trimmed["spec"]
