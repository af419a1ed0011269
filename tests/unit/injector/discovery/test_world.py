"""Who counts as a caller while pods come and go: servers have chains for them, and a chain that goes cuts.

Leaves out the rest of what proxies share (``test_snapshot``).
"""

import dataclasses

from injector.discovery import settings, world
from tests.fakes import clusters as given

CONFIG = settings.Settings(trust_domain=given.TRUST_DOMAIN)
PODS = {
    name: given.pod(number, name) for number, name in enumerate(("web", "client", "friend", "other", "stranger"), 1)
}


def callers(builder: world.Builder, now_s: float, *names: str) -> set[str]:
    """Build the world of some pods, and give the names of those who may call."""
    made = builder.build(given.state([PODS[each] for each in names], []), now_s=now_s)
    return {each.account.name for each in made.identities}


def test_an_identity_stays_for_a_while_after_its_last_pod() -> None:
    """News of its end may come late, when the next pod is connected already: they must not cut that one."""
    builder = world.Builder(CONFIG)
    assert {"web", "client"} == callers(builder, 0, "web", "client")
    assert {"web", "client"} == callers(builder, 1, "web")
    assert {"web", "client"} == callers(builder, world.KEPT_S, "web")
    assert {"web"} == callers(builder, 1 + world.KEPT_S, "web")


def test_an_identity_that_came_back_ends_anew() -> None:
    """The time runs from the end of its last pod, not from that of an earlier one."""
    builder = world.Builder(CONFIG)
    callers(builder, 0, "web", "client")
    callers(builder, 1, "web")
    callers(builder, 2, "web", "client")
    callers(builder, world.KEPT_S, "web")
    assert {"web", "client"} == callers(builder, 2 * world.KEPT_S - 1, "web")
    assert {"web"} == callers(builder, 2 * world.KEPT_S, "web")


def test_a_pod_counts_before_it_has_an_address() -> None:
    """So the change that brings it never takes away what an earlier one of its account had."""
    coming = dataclasses.replace(PODS["client"], addresses=())
    made = world.Builder(CONFIG).build(given.state([PODS["web"], coming], []))
    assert {"web", "client"} == {each.account.name for each in made.identities}


def test_identities_that_ended_take_nobodys_place() -> None:
    """Under the bound the last that ended stay; those that have pods are never among those without a chain."""
    builder = world.Builder(dataclasses.replace(CONFIG, max_identities=3))
    assert {"web", "client", "friend"} == callers(builder, 0, "web", "client", "friend")
    assert {"web", "client", "friend"} == callers(builder, 1, "web", "friend")
    assert {"web", "client", "friend"} == callers(builder, 2, "web")
    assert {"web", "friend", "stranger"} == callers(builder, 3, "web", "stranger")
    assert {"web", "stranger", "other"} == callers(builder, 4, "web", "stranger", "other")
    assert {"web", "stranger", "other", "client"} == callers(builder, 5, "web", "stranger", "other", "client")


def test_who_came_and_went_leaves_the_same_object() -> None:
    """What was made for a pod is kept by it: a caller that is replaced makes no listener anew."""
    builder = world.Builder(CONFIG)
    first = builder.build(given.state([PODS["web"], PODS["client"]], []))
    again = builder.build(given.state([PODS["web"]], [], revision=2))
    assert first.identities is again.identities
