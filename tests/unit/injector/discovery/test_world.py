"""Who counts as a caller while pods come and go: servers have chains for them, and a chain that goes cuts.

Leaves out the rest of what proxies share (``test_snapshot``).
"""

import dataclasses

from injector.discovery import inbound, settings, world
from tests.fakes import clusters as given

CONFIG = settings.Settings(trust_domain=given.TRUST_DOMAIN)
PODS = {name: given.pod(number, name) for number, name in enumerate(("web", "client", "friend", "other"), 1)}


def built(builder: world.Builder, *names: str) -> world.World:
    """Build the world of some pods."""
    return builder.build(given.state([PODS[each] for each in names], []))


def callers(builder: world.Builder, *names: str) -> list[str]:
    """Build the world of some pods, and name those who may call."""
    return [each.account.name for each in built(builder, *names).identities]


def decided(made: world.World, most: int) -> tuple[inbound.Port, ...]:
    """Decide about the ports of a pod that admits everybody, where so many can have a chain."""
    return inbound.ports(PODS["web"], [], [], made.identities, dataclasses.replace(CONFIG, max_identities=most))


def test_an_identity_stays_a_caller_after_its_last_pod() -> None:
    """News of its end may come late, when the next pod is connected already: they must not cut that one."""
    builder = world.Builder(CONFIG)
    before = built(builder, "web", "client", "friend")
    gone = built(builder, "web", "friend")
    back = built(builder, "web", "client", "friend")
    assert decided(before, 256) == decided(gone, 256) == decided(back, 256)
    assert {"web", "client", "friend"} == {who.account.name for who in decided(gone, 256)[0].identities}


def test_the_last_that_ended_come_first_after_those_that_have_pods() -> None:
    """Each once: who is back is among the living, and ends anew."""
    builder = world.Builder(CONFIG)
    assert ["client", "friend", "other", "web"] == callers(builder, "web", "client", "friend", "other")
    assert ["friend", "other", "web", "client"] == callers(builder, "web", "friend", "other")
    assert ["other", "web", "friend", "client"] == callers(builder, "web", "other")
    assert ["client", "other", "web", "friend"] == callers(builder, "web", "other", "client")
    assert ["web", "client", "other", "friend"] == callers(builder, "web")


def test_who_has_ended_takes_nobodys_chain() -> None:
    """Under a port's bound those that have pods come first, whatever their names; then the last that ended."""
    builder = world.Builder(CONFIG)
    built(builder, "web", "client", "friend")
    gone = built(builder, "web")
    for most, expected in ((1, {"web"}), (2, {"web", "client"}), (3, {"web", "client", "friend"})):
        assert expected == {who.account.name for who in decided(gone, most)[0].identities}


def test_only_so_many_that_ended_are_remembered() -> None:
    """Accounts that are made for one job and never come back do not fill the memory of every proxy."""
    builder = world.Builder(CONFIG)
    for number in range(200):
        builder.build(given.state([PODS["web"], given.pod(number + 10, f"job-{number}")], []))
    names = callers(builder, "web")
    assert ["web", "job-199", "job-198"] == names[:3]
    assert 1 + world.MOST_ENDED == len(names) < 100
    assert "job-0" not in names
