"""How often the agent drains, and what a drain that fails leaves.

Left out: the rest of the wiring, which only runs whole (tests/functional/agent).
"""

import collections
import types
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent import app, config, drops, inbox, model, ownership, pipeline
from tests.unit.agent import test_inbox


def pauses(*spent_s: float, **settings: float) -> list[float]:
    """Give the pause after each drain, as an agent with these settings would make it."""
    agent = types.SimpleNamespace(
        config=config.Config(**settings),  # type: ignore[arg-type]  # what it needs of it
        _spent_s=collections.deque(maxlen=9),
    )
    return [app.Agent._pause_s(agent, each) for each in spent_s]  # type: ignore[arg-type]  # what it needs of it


@pytest.mark.parametrize(
    ("spent_s", "wanted_s"),
    [(0.0, 1.0), (0.005, 1.0), (0.03, 3.0), (0.1, 10.0), (0.15, 15.0), (7.0, 15.0)],
)
def test_drains_take_a_hundredth_of_a_processor(spent_s: float, wanted_s: float) -> None:
    """Within the bounds of the settings, and a little early so that nodes do not drain in step."""
    found = pauses(*[spent_s] * 7)[-1]
    assert 0.9 * wanted_s <= found <= wanted_s


def test_one_slow_drain_says_little() -> None:
    """The first, with everything to learn, and one burst later: the usual one decides."""
    assert max(pauses(5.0, 0.001, 0.001, 0.001, 9.0, 0.001)) <= 1.0


def test_a_node_that_grew_is_drained_less_often_and_back() -> None:
    """Nine drains are remembered."""
    found = pauses(*[0.001] * 9, *[0.05] * 9, *[0.001] * 9)
    assert max(found[8], found[-1]) <= 1.0
    assert 4.5 <= found[17] <= 5.0


def test_the_settings_are_the_bounds() -> None:
    """Both of them."""
    assert 2.7 <= pauses(*[0.0] * 3, min_interval_s=3.0)[-1] <= 3.0
    assert 4.5 <= pauses(*[9.0] * 3, max_interval_s=5.0)[-1] <= 5.0


def test_pauses_differ() -> None:
    """Nodes that were started together drift apart."""
    assert len(set(pauses(*[0.001] * 23))) > 1


async def test_a_drain_that_fails_is_counted_and_its_inputs_come_again() -> None:
    """Once; then they are dropped and counted, and the agent goes on."""

    async def poisoned() -> None:
        raise ValueError("poison")

    lost = drops.Drops()
    box = inbox.Inbox(lost)
    box.fresh.object_events.append(test_inbox.EVENT)
    scans: list[None] = []
    agent = types.SimpleNamespace(
        drops=lost, inbox=box, _tick=poisoned, reader=types.SimpleNamespace(scan_again=lambda: scans.append(None))
    )
    for failures, waiting, dropped in ((1, 1, 0), (2, 0, 1), (3, 0, 1)):
        await app.Agent._guarded_tick(agent)  # type: ignore[arg-type]  # what it needs of it
        assert {"tick_inputs_lost": dropped, "tick_failed": failures} == lost.by_stage
        assert (waiting, failures) == (len(box.all()), len(scans))


class LateWatch:
    """An API whose lists come while a drain goes on: after it has taken what there was."""

    def __init__(self) -> None:
        self.synced = False
        self.silent_since_ns: int | None = 5
        self.told_ns = {"pods": 5}
        self.told: list[model.ObjectEvent] = []

    def objects(self) -> list[model.ObjectEvent]:
        taken, self.told = self.told, [test_inbox.EVENT]
        self.synced, self.silent_since_ns, self.told_ns = True, None, {"pods": 11}
        return taken


def draining(watch: LateWatch, box: inbox.Inbox, step: Callable[[pipeline.Inputs], None], **more: object) -> Any:
    """Make what a drain needs of an agent, up to what is told."""

    async def open_connections(*_: object) -> tuple[None, list[None]]:
        return None, []

    return types.SimpleNamespace(
        watch=watch,
        inbox=box,
        _hear=lambda *_: box.fresh.object_events.extend(watch.objects()),
        _crowd=lambda _: None,
        config=config.Config(),
        kernel=types.SimpleNamespace(edges=lambda: ((), ()), gone=0),
        reader=types.SimpleNamespace(make_edges=lambda _: None, ended=list, open_connections=open_connections),
        pipeline=types.SimpleNamespace(owners=ownership.Ownership(history_s=600), table=None, step=step),
        **more,
    )


async def test_the_lists_are_heard_with_the_drain_that_has_all_of_them() -> None:
    """Not with the one during which they came; and they were read before the moment that a drain is of."""
    steps: list[pipeline.Inputs] = []

    def step(inputs: pipeline.Inputs) -> None:
        steps.append(inputs)
        raise InterruptedError  # what comes after is not asked

    agent = draining(LateWatch(), inbox.Inbox(drops.Drops()), step)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            await app.Agent._tick(agent)
    assert [(False, 5, 0), (True, None, 1)] == [
        (each.heard, each.silent_since_boot_ns, len(each.object_events)) for each in steps
    ]


async def test_a_checkpoint_says_no_more_than_the_drain_has_taken() -> None:
    """What comes while it goes on is in the next one."""
    saved: list[Mapping[str, int]] = []

    def tell(*_: object) -> None:
        saved.append(agent._told_ns)
        raise InterruptedError  # what comes after is not asked

    agent = draining(LateWatch(), inbox.Inbox(drops.Drops()), lambda _: None, _told_ns={}, _tell=tell)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            await app.Agent._tick(agent)
    assert [{"pods": 5}, {"pods": 11}] == saved


async def test_a_drain_that_fails_has_taken_nothing() -> None:
    """The checkpoint of an agent that stops then says what the drain before had."""

    def fail(_: pipeline.Inputs) -> None:
        raise InterruptedError

    agent = draining(LateWatch(), inbox.Inbox(drops.Drops()), fail, _told_ns={})
    with pytest.raises(InterruptedError):
        await app.Agent._tick(agent)
    assert {} == agent._told_ns
