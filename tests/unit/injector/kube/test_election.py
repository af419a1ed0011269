"""A Lease is held, renewed, lost, taken over and given back, over HTTP. Leaves out who may hold it when: tests/sim."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from injector.kube import election, leases
from tests.fakes import kube_objects

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/ipseity-system/leases"
PATH = f"{COLLECTION}/ipseity-control"
QUICK = leases.Timing(lease_s=1.0, renew_deadline_s=0.6, retry_s=0.01)
WALL_S = 1_795_000_000.0


class Replica:
    """One that runs for election."""

    def __init__(self, api: Any, name: str, timing: leases.Timing = QUICK) -> None:
        self.began = 0
        self.candidate = leases.Candidate(name, timing)
        self.election = election.Election(
            api,
            "ipseity-system",
            "ipseity-control",
            self.candidate,
            boot_s=asyncio.get_running_loop().time,
            wall_s=lambda: WALL_S,
            began=self.begin,
        )

    def begin(self) -> None:
        self.began += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run; it is gone without a word afterwards."""
        task = asyncio.create_task(self.election.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def held(cluster: kube_objects.KubeObjects) -> dict[str, Any]:
    return dict(cluster.objects.get(PATH, {}).get("spec", {}))


def leading(cluster: kube_objects.KubeObjects, name: str) -> Callable[[], bool]:
    return lambda: held(cluster).get("holderIdentity") == name


async def test_one_leads_and_another_takes_over_only_what_is_not_renewed() -> None:
    """The first is gone without a word: its Lease stands for its whole time, and then changes hands."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        first, second = Replica(api, "a"), Replica(api, "b")
        async with first.running():
            await cluster.until(leading(cluster, "a"))
            assert {"leaseDurationSeconds": 1, "leaseTransitions": 0} == {
                key: held(cluster)[key] for key in ("leaseDurationSeconds", "leaseTransitions")
            }
            assert "2026-11-18T11:06:40.000000Z" == held(cluster)["acquireTime"]
        gone_s = asyncio.get_running_loop().time()
        async with second.running():
            await cluster.until(leading(cluster, "b"))
        assert asyncio.get_running_loop().time() - gone_s > QUICK.renew_deadline_s
        assert (1, 1) == (first.began, held(cluster)["leaseTransitions"])


async def test_what_is_given_back_is_taken_at_once() -> None:
    """And whoever gave it back leads no more, from before the API server knows."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        patient = leases.Timing(lease_s=600.0, renew_deadline_s=400.0, retry_s=0.01)
        first, second = Replica(api, "a", patient), Replica(api, "b", patient)
        async with first.running(), second.running():
            await cluster.until(lambda: first.election.leads or second.election.leads)
            ends, goes_on = (first, second) if first.election.leads else (second, first)
            await ends.election.resign()
            assert not ends.election.leads
            await cluster.until(leading(cluster, goes_on.candidate.name))
            await cluster.until(lambda: goes_on.election.leads)
            assert not ends.election.leads


async def test_without_an_api_server_nobody_leads_for_long() -> None:
    """It says so once, and leads again when there is one."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        only = Replica(api, "a")
        async with only.running():
            await cluster.until(lambda: only.election.leads)
            cluster.refuse[("PUT", PATH)] = 503
            await cluster.until(lambda: not only.election.leads)
            assert only.election.failures > 1
            del cluster.refuse[("PUT", PATH)]
            await cluster.until(lambda: only.election.leads)
            assert "a" == only.election.holder


async def test_a_lease_that_is_nonsense_is_put_right() -> None:
    """A person may have edited it."""
    cluster = kube_objects.KubeObjects()
    odd = {"holderIdentity": ["a"], "leaseDurationSeconds": "long", "leaseTransitions": -7, "renewTime": 7}
    cluster.put(PATH, {"metadata": {}, "spec": odd})
    async with cluster.serve() as api:
        only = Replica(api, "a")
        async with only.running():
            await cluster.until(leading(cluster, "a"))
        assert 1 == held(cluster)["leaseTransitions"]
    assert leases.Lease() == leases.parse({"spec": None})


async def test_whoever_is_pushed_out_by_hand_stops() -> None:
    """An administrator who writes another holder is believed: not after a deadline, but when it is seen."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        only = Replica(api, "a", leases.Timing(lease_s=600.0, renew_deadline_s=400.0, retry_s=0.01))
        async with only.running():
            await cluster.until(lambda: only.election.leads)
            cluster.put(PATH, {**cluster.objects[PATH], "spec": {"holderIdentity": "b", "leaseDurationSeconds": 600}})
            await cluster.until(lambda: not only.election.leads)
            assert ("b", True) == (only.election.holder, leading(cluster, "b")())
