"""The store against a model that keeps every past state. Leaves out watches over HTTP: the contract tests have them."""

from typing import Any

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from comparisons.lab.api import kinds, store
from tests import examples

NAMES = st.sampled_from(["a", "b", "c"])
HISTORY = 7


class Machine(stateful.RuleBasedStateMachine):
    """Any order of writes: every remembered revision can be had again, by list and by events."""

    def __init__(self) -> None:
        super().__init__()
        self.store = store.Store(history=HISTORY)
        self.states: dict[int, dict[store.Key, dict[str, Any]]] = {self.store.revision: {}}
        self.heard: list[int] = []
        self.store.listen(kinds.CONFIG_MAP, lambda event: self.heard.append(event.revision))

    @stateful.rule(name=NAMES, text=st.text(max_size=3))
    def put(self, name: str, text: str) -> None:
        value = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"k": text}}
        self.store.put(kinds.CONFIG_MAP, ("", name), value)
        self._remember()

    @stateful.rule(name=NAMES)
    def remove(self, name: str) -> None:
        found = self.store.get(kinds.CONFIG_MAP, ("", name))
        if found is not None:
            self.store.remove(kinds.CONFIG_MAP, ("", name), found)
            self._remember()

    @stateful.rule(name=NAMES)
    def write_another_kind(self, name: str) -> None:
        value = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}}
        self.store.put(kinds.SECRET, ("", name), value)
        self._remember()

    def _remember(self) -> None:
        self.states[self.store.revision] = dict(self.store.objects(kinds.CONFIG_MAP))

    @stateful.invariant()
    def the_past_is_as_it_was_or_compacted(self) -> None:
        for revision, state in self.states.items():
            try:
                assert self.store.at(kinds.CONFIG_MAP, revision) == state
            except store.Compacted:
                assert len([each for each in self.heard if each > revision]) > HISTORY - 1 or revision < 1

    @stateful.invariant()
    def events_lead_from_any_past_to_the_present(self) -> None:
        for revision, state in self.states.items():
            try:
                events = self.store.since(kinds.CONFIG_MAP, revision)
            except store.Compacted:
                continue
            replayed = dict(state)
            for event in events:
                assert event.before == replayed.get(event.key)
                if event.type is store.EventType.DELETED:
                    del replayed[event.key]
                else:
                    replayed[event.key] = event.after
            assert replayed == self.store.objects(kinds.CONFIG_MAP)

    @stateful.invariant()
    def revisions_rise(self) -> None:
        assert self.heard == sorted(set(self.heard))


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis.settings(max_examples=examples.of(50), stateful_step_count=30, deadline=None)


def test_a_dump_is_taken_over() -> None:
    """Objects and revision; the events are compacted."""
    first = store.Store(history=HISTORY)
    value = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "n"}}
    first.put(kinds.CONFIG_MAP, ("n", "a"), value)
    second = store.Store(history=HISTORY)
    second.load(first.dump())
    assert second.revision == first.revision
    assert second.objects(kinds.CONFIG_MAP) == first.objects(kinds.CONFIG_MAP)
    assert second.since(kinds.CONFIG_MAP, second.revision) == []
    with pytest.raises(store.Compacted):
        second.since(kinds.CONFIG_MAP, second.revision - 1)


def test_nobody_is_told_after_leaving() -> None:
    """What ``listen`` gives back ends it."""
    heard: list[store.Event] = []
    objects = store.Store(history=HISTORY)
    leave = objects.listen(kinds.NODE, heard.append)
    leave()
    objects.put(kinds.NODE, ("", "a"), {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "a"}})
    assert heard == []
