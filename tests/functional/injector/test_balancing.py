"""What Services say of balancing, by real requests: circuits break and close, limits hold, and only where it was said.

Leaves out how annotations are read (``tests/unit/injector/cluster/test_balancing``).
"""

import asyncio
import collections
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from injector.cluster import balancing
from tests.scene import street

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEB, OTHER = "10.97.0.1", "10.97.0.2"
ONE_BAD = "/?status=500&of=web-10"
"""One of the two pods fails always."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pods behind two Services, and who calls."""

    ours: street.Street
    client: street.House

    async def balance(self, said: balancing.Balancing) -> None:
        """Have the first Service say this, and the second nothing."""
        first, second = self.ours.services
        self.ours.services = [dataclasses.replace(first, balance=said), second]
        self.ours.publish()
        await self.ours.synced(3)

    async def ask(self, path: str, count: int, *, host: str = WEB, at_once: bool = False) -> list[dict[str, Any]]:
        """Ask one after the other, or all at once."""
        one = {"url": f"http://{host}:8080{path}"}
        asked = [{**one, "count": count}] if at_once else [one] * count
        process = await self.client.start("tests.traffic.asker", json.dumps(asked))
        async with asyncio.timeout(street.PATIENCE_S):
            output, _ = await process.communicate()
        return [each for found in json.loads(output) for each in found]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    async with street.street() as ours:
        pods = [street.pod(10, "web"), street.pod(11, "web")]
        caller = street.pod(12, "client")
        ours.pods = [*pods, caller]
        ours.services = [street.fronting("web", WEB, pods), street.fronting("other", OTHER, pods)]
        ours.publish()
        async with ours.house(pods[0]), ours.house(pods[1]), ours.house(caller, application=False) as client:
            await ours.synced(3)
            yield Pair(ours=ours, client=client)


def statuses(found: list[dict[str, Any]]) -> dict[int, int]:
    return dict(collections.Counter(each["status"] for each in found))


async def test_a_circuit_breaks_after_so_many_failures_and_closes_again(pair: Pair) -> None:
    """Exactly three; other Services, with the same pods, are not touched; after the penalty it is tried again."""
    accrual = balancing.Accrual(max_failures=3, min_penalty_s=1.0, max_penalty_s=1.0, jitter_ratio=0)
    await pair.balance(balancing.Balancing(accrual=accrual, policy=balancing.Policy.ROUND_ROBIN))
    assert {200: 17, 500: 3} == statuses(await pair.ask(ONE_BAD, 20))
    unsaid = statuses(await pair.ask(ONE_BAD, 40, host=OTHER))
    assert unsaid[500] > 8
    async with asyncio.timeout(street.PATIENCE_S):
        while "web-10" not in {each["body"]["name"] for each in await pair.ask("/", 2)}:
            pass


async def test_where_all_fail_requests_fail_at_once(pair: Pair) -> None:
    """Instead of going where it is known that they fail: Linkerd's meaning."""
    accrual = balancing.Accrual(max_failures=3, min_penalty_s=60.0, max_penalty_s=60.0, jitter_ratio=0)
    await pair.balance(balancing.Balancing(accrual=accrual))
    assert {500: 6, 503: 11} == statuses(await pair.ask("/?status=500", 17))


async def test_a_grpc_error_is_a_failure_although_it_is_a_200(pair: Pair) -> None:
    """UNIMPLEMENTED, as documented: two from each endpoint, then UNAVAILABLE from the client's own proxy."""
    accrual = balancing.Accrual(max_failures=2, min_penalty_s=60.0, max_penalty_s=60.0, jitter_ratio=0)
    await pair.balance(balancing.Balancing(accrual=accrual))
    process = await pair.client.start(
        "tests.traffic.asker", json.dumps([{"grpc": f"{WEB}:9090", "call": "/probe.Nobody/Say"}] * 9)
    )
    async with asyncio.timeout(street.PATIENCE_S):
        output, _ = await process.communicate()
    assert {12: 4, 14: 5} == statuses([each for found in json.loads(output) for each in found])


async def test_a_limit_of_requests_under_way(pair: Pair) -> None:
    """What is beyond it fails at once, and only where it was said."""
    await pair.balance(balancing.Balancing(max_requests=2))
    assert {200: 2, 503: 5} == statuses(await pair.ask("/?seconds=0.7", 7, at_once=True))
    assert {200: 7} == statuses(await pair.ask("/?seconds=0.1", 7, host=OTHER, at_once=True))


async def test_round_robin_takes_turns(pair: Pair) -> None:
    await pair.balance(balancing.Balancing(policy=balancing.Policy.ROUND_ROBIN))
    names = [each["body"]["name"] for each in await pair.ask("/", 22)]
    assert {"web-10": 11, "web-11": 11} == dict(collections.Counter(names))
