"""The thread that listens: what comes is told to the kernel at once and waits for the next tick, in order.

A real pipe stands for the kernel's ring, and no API server answers. Left out: the API (``test_pods``, tests/functional)
and what is written when (``test_handshake``).
"""

import asyncio
import contextlib
import os
import pathlib
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agent import config, drops, model, watching
from tests.unit.agent import test_handshake, test_identities, test_tags

PATIENCE_S = 10.0


class FakeRing(test_handshake.FakeKernel):
    """Tables that tell when they were written, and a descriptor that is readable when a cgroup has come."""

    def __init__(self, former: Mapping[int, tuple[int, int]] | None) -> None:
        super().__init__(former)
        self.cgroup_events, self._write = os.pipe()
        self.waiting: list[model.CgroupEvent] = []
        self.written = threading.Event()

    def put(self, *events: model.CgroupEvent) -> None:
        self.waiting.extend(events)
        os.write(self._write, b"!")

    def cgroup_news(self) -> list[model.CgroupEvent]:
        os.read(self.cgroup_events, 1)
        taken, self.waiting = self.waiting, []
        return taken

    def identify(self, identities: Any) -> set[int]:
        refused = super().identify(identities)
        self.written.set()
        return refused

    def close(self) -> None:
        os.close(self.cgroup_events)
        os.close(self._write)


@contextlib.contextmanager
def listening(
    tmp_path: pathlib.Path, *known: model.Pod, former: Mapping[int, tuple[int, int]] | None = None
) -> Iterator[types.SimpleNamespace]:
    """Have a thread that listens, and end it."""
    ring, lost = FakeRing(former), drops.Drops()
    settings = config.Config(node_name=test_identities.NODE, kubeconfig=str(tmp_path / "none"))
    watch = watching.Watch(
        settings,
        lost,
        ring,  # type: ignore[arg-type]  # what it needs of it
        ring,  # type: ignore[arg-type]  # what it needs of it
        known={pod.uid: pod for pod in known},
        uids=dict.fromkeys(former or (), known[0].uid if known else ""),
        told_boot_ns={"pods": 3},
    )
    try:
        watch.start()
        yield types.SimpleNamespace(watch=watch, ring=ring, drops=lost)
    finally:
        watch.close()
        ring.close()


@pytest.fixture
def parts(tmp_path: pathlib.Path) -> Iterator[types.SimpleNamespace]:
    """Know one pod from a former agent."""
    with listening(tmp_path, test_tags.pod(7, node=test_identities.NODE)) as made:
        yield made


def test_a_cgroup_speaks_before_any_tick(parts: types.SimpleNamespace) -> None:
    """And the next tick hears of it, once."""
    came = test_identities.directory(11, 7)
    parts.ring.put(came)
    assert parts.ring.written.wait(PATIENCE_S)
    assert {11: test_identities.tags_of(7)} == parts.ring.identities
    parts.watch.close()
    assert ([came], []) == (parts.watch.cgroups(), parts.watch.cgroups())


def test_what_a_scan_finds_speaks_too(parts: types.SimpleNamespace) -> None:
    """Though the kernel has told nothing of it; it is not told back."""
    parts.watch.tick([test_identities.directory(11, 7)])
    assert parts.ring.written.wait(PATIENCE_S)
    assert {11: test_identities.tags_of(7)} == parts.ring.identities
    parts.watch.close()
    assert [] == parts.watch.cgroups()


def test_without_an_api_server_it_listens_and_says_so(parts: types.SimpleNamespace) -> None:
    """Nothing is known to be old or new yet."""
    assert (False, {"pods": -1.0}, {}) == (
        parts.watch.synced, parts.watch.staleness_s(10**15), parts.watch.malformed()
    )  # fmt: skip


def test_what_was_heard_can_be_taken_after_the_end(parts: types.SimpleNamespace) -> None:
    """The last tick of an agent that stops has it. To end twice is harmless."""
    parts.ring.put(test_identities.directory(11, 7), test_identities.directory(13, 7))
    assert parts.ring.written.wait(PATIENCE_S)
    parts.watch.close()
    parts.watch.close()
    parts.watch.tick([test_identities.directory(17, 7)])
    assert (2, {11, 13}) == (len(parts.watch.cgroups()), set(parts.ring.identities))
    assert ([], []) == (parts.watch.objects(), parts.watch.accounts())


def test_a_part_that_fails_begins_anew(parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, and nothing else ends with it."""
    monkeypatch.setattr(watching, "_RETRY_S", 0.01)
    failed, again = threading.Event(), threading.Event()

    def fail(boot_ns: int) -> None:
        (again if failed.is_set() else failed).set()
        raise OSError("odd")

    monkeypatch.setattr(parts.watch._handshake, "look", fail)
    assert again.wait(PATIENCE_S)
    assert parts.drops.by_stage["watch_died"] > 0
    parts.ring.put(test_identities.directory(11, 7))
    assert parts.ring.written.wait(PATIENCE_S)


def test_what_follows_the_api_anew_goes_on_from_what_was_told(
    parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the moment at which it fails: the API may have been away for long."""

    async def follow(_: object) -> None:
        raise OSError("odd")

    async def connect(*_: object) -> Any:
        return contextlib.nullcontext()

    parts.watch.close()
    assert {"pods": 3} == parts.watch.told_ns
    failing = types.SimpleNamespace(follow=follow, known=dict, told_ns={"pods": 23}, synced=False)
    monkeypatch.setattr(watching.kube, "connect", connect)
    monkeypatch.setattr(parts.watch, "_prepare", lambda _: failing)
    with pytest.raises(OSError, match="odd"):
        asyncio.run(parts.watch._follow())
    assert {"pods": 23} == parts.watch.told_ns == parts.watch._told_ns


def test_after_a_restart_the_pods_that_run_on_keep_their_identity(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first scan finds nothing new, as all was in the checkpoint; nobody's identity goes for it."""
    monkeypatch.setattr(watching.Watch, "synced", True)
    former = {11: test_identities.tags_of(7)}
    with listening(tmp_path, test_tags.pod(7, node=test_identities.NODE), former=former) as parts:
        parts.ring.identities[13] = (1, 2)
        parts.watch.tick([])
        parts.watch.close()
        assert former == parts.ring.identities


def test_a_thread_that_cannot_begin_says_why(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whoever starts it, rather than to let it wait for ever."""

    def refuse(*_: object) -> None:
        raise OSError("no descriptor")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse)
    with pytest.raises(OSError, match="no descriptor"), listening(tmp_path):
        pass


def test_a_thread_that_does_not_end_is_told_of(parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it uses must not be closed under it."""
    monkeypatch.setattr(watching, "_END_S", 0.01)
    busy, go = threading.Event(), threading.Event()

    def stay() -> None:
        busy.set()
        go.wait(PATIENCE_S)

    parts.watch._loop.call_soon_threadsafe(stay)
    assert busy.wait(PATIENCE_S)
    assert not parts.watch.close()
    go.set()
    parts.watch._thread.join(PATIENCE_S)
    assert parts.watch.close()
