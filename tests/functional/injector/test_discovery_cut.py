"""A policy that is changed, with real packets: whom it cuts, how soon, and whom it leaves alone.

Leaves out the verdicts themselves: those are compared with an oracle elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from injector.policy import model as policy
from ipseity import identity
from tests.scene import street

WEB_IP = "10.97.0.1"
COUNT = 5
_ACTIVE = "listener.inbound.downstream_cx_active"
Houses = tuple[street.Street, street.House, street.House, street.House]


def only(*accounts: str) -> policy.AuthorizationPolicy:
    """Admit some accounts of the namespace to every pod of it."""
    sources = tuple(
        policy.Account(identity.SpiffeId(street.TRUST_DOMAIN, identity.ServiceAccount("shop", name)))
        for name in accounts
    )
    return policy.AuthorizationPolicy(
        namespace="shop",
        name="only",
        action=policy.Action.ALLOW,
        selector=(),
        rules=(policy.Rule(sources=sources),),
    )


@contextlib.asynccontextmanager
async def neighbours() -> AsyncIterator[Houses]:
    """Have a server and two clients of different accounts."""
    async with street.street() as ours:
        web, friend, other = street.pod(10, "web"), street.pod(11, "friend"), street.pod(12, "other")
        ours.pods = [web, friend, other]
        ours.services = [street.fronting("web", WEB_IP, [web])]
        ours.publish()
        async with (
            ours.house(web) as a,
            ours.house(friend, application=False) as b,
            ours.house(other, application=False) as c,
        ):
            await ours.synced(3)
            yield ours, a, b, c


async def held(who: street.House, port: int, seconds: float) -> list[dict[str, object]]:
    """Keep connections busy, and tell how each ended."""
    words = ("hold", WEB_IP, "--port", str(port), "--count", str(COUNT), "--seconds", str(seconds))
    found: list[dict[str, object]] = (await who.ask(*words))["connections"]
    return found


async def test_a_policy_cuts_the_refused_within_a_second_and_nobody_else() -> None:
    """Five connections of the refused identity end, five of the admitted one carry on without a lost byte."""
    async with neighbours() as (ours, web, friend, other):
        kept = asyncio.create_task(held(friend, 7000, 7))
        cut = asyncio.create_task(held(other, 7000, 7))
        await until_open(web, 2 * COUNT)
        ours.policies = [only("friend")]
        changed_s = time.time()  # noqa: TID251  # compared with another process's
        ours.publish()
        ended = await cut
        assert ["IncompleteReadError"] * COUNT == [each["ended"] for each in ended]
        latest_s = max(float(str(each["wall_s"])) for each in ended) - changed_s
        assert latest_s < 1
        found = await kept
        assert [""] * COUNT == [each["ended"] for each in found]
        assert [each["sent"] for each in found] == [each["echoed"] for each in found]


async def test_a_refused_request_is_told_why_and_an_admitted_one_is_not_touched() -> None:
    """HTTP is answered with 403 and the reason; bytes are closed, also where the server would have spoken first."""
    async with neighbours() as (ours, _web, friend, other):
        ours.policies = [only("friend")]
        ours.publish()
        await ours.synced(3)
        refused, admitted = await asyncio.gather(other.ask("every", WEB_IP), friend.ask("every", WEB_IP))
        assert (403, "no-rule") == (refused["http1"]["status"], refused["http1"]["denied"])
        assert "PERMISSION_DENIED" in refused["grpc"]["error"]
        assert "403" in refused["websocket"]["error"]
        assert "error" in refused["opaque"]
        assert "" == refused["server_first"].get("greeting", "")
        assert [] == [name for name, each in admitted.items() if "error" in each]


async def test_a_change_about_others_cuts_nobody() -> None:
    """Identities, pods, Services and policies that admit others come and go: who is admitted stays connected."""
    async with neighbours() as (ours, web, friend, other):
        kept = asyncio.create_task(held(friend, 7000, 6))
        also = asyncio.create_task(held(other, 7000, 6))
        await until_open(web, 2 * COUNT)
        for accounts in (("friend", "other"), ("friend", "other", "third")):
            ours.policies = [only(*accounts)]
            ours.publish()
            await ours.synced(3)
        stranger = street.pod(30, "third")
        ours.pods.append(stranger)
        ours.services.append(street.fronting("third", "10.97.0.9", [stranger]))
        ours.publish()
        await ours.synced(3)
        ours.pods.remove(stranger)
        del ours.services[1:]
        ours.policies = []
        ours.publish()
        await ours.synced(3)
        for found in (await kept, await also):
            assert [""] * COUNT == [each["ended"] for each in found]
            assert [each["sent"] for each in found] == [each["echoed"] for each in found]


async def test_late_news_of_an_identitys_last_pod_cut_nobody() -> None:
    """A server whose link was down hears of the end of a client's last pod when its next one is connected already."""
    async with neighbours() as (ours, web, friend, other):
        kept = asyncio.create_task(held(friend, 7000, 6))
        also = asyncio.create_task(held(other, 7000, 6))
        await until_open(web, 2 * COUNT)
        ours.pods.remove(friend.pod)
        ours.publish()
        await ours.synced(3)
        ours.pods.append(friend.pod)
        ours.publish()
        await ours.synced(3)
        assert [False, False] == [kept.done(), also.done()]
        for found in (await kept, await also):
            assert [""] * COUNT == [each["ended"] for each in found]
            assert [each["sent"] for each in found] == [each["echoed"] for each in found]


async def until_open(web: street.House, count: int) -> None:
    """Wait until so many connections are open at a pod."""
    async with asyncio.timeout(street.PATIENCE_S):
        while (await web.stats(_ACTIVE)).get(_ACTIVE, 0) < count:
            pass  # each look is a round trip to Envoy
