"""The order of one tick's reading, and what is counted on the way.

Left out: the sweep itself (tests/functional/agent/test_sockets.py) and its arithmetic (test_live).
"""

import pathlib
import types
from typing import Any

import numpy as np
import pytest

from agent import drops, edges, model, reader, sockets, wire
from tests.fakes import kernel as fake_kernel
from tests.unit.agent import test_live, test_wire

NOW = 10**15
SECOND_NS = 10**9
PREFIXES = edges.Prefixes(wire.EVERYTHING, [])


class FakeKernel:
    """Rings and slots with what a test puts in."""

    def __init__(self) -> None:
        self.missing: tuple[str, ...] = ()
        self.cgroups: list[bytes] = []
        self.ended: list[bytes] = []
        self.slots = np.zeros(0, wire.CONNECTION)
        self.cgroups_lost = 0
        self.made: list[tuple[list[int], list[int]]] = []
        self.refuses = 0

    def losses(self) -> dict[str, int]:
        return {"cgroup_ring_full": self.cgroups_lost}

    def cgroup_records(self) -> list[bytes]:
        taken, self.cgroups = self.cgroups, []
        return taken

    def records(self) -> list[bytes]:
        return self.ended

    def connections(self) -> wire.Array:
        return self.slots

    def make_edges(self, keys: wire.Array, values: wire.Array) -> int:
        self.made.append((keys["cgroup"].tolist(), values["id"].tolist()))
        return self.refuses


class FakeTree:
    """Counts scans; finds one directory."""

    def __init__(self) -> None:
        self.scans = 0

    def changes(self, alive: Any, now_boot_ns: int) -> list[model.CgroupEvent]:
        self.scans += 1
        return [model.CgroupEvent(cgroup=model.CgroupId(4528), path="/found", boot_ns=now_boot_ns)]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Give a reader of a fake kernel and a fake tree."""
    held, tree, lost = FakeKernel(), FakeTree(), drops.Drops()
    monkeypatch.setattr(reader.cgroups, "Tree", lambda root: tree)
    made = reader.Reader(held, pathlib.Path("/x"), PREFIXES, lost, sweep_s=(1.0, 10.0))  # type: ignore[arg-type]  # what it needs of it
    return types.SimpleNamespace(reader=made, kernel=held, tree=tree, drops=lost.by_stage)


def cgroups(of: reader.Reader, boot_ns: int) -> list[model.CgroupEvent]:
    """Take what there is, as one tick does."""
    told = of.cgroup_news()
    return [*told, *(of.cgroups_missed(told, (), boot_ns) or ())]


def test_the_tree_is_scanned_first_and_then_once_a_minute(parts: types.SimpleNamespace) -> None:
    """The ring tells the rest."""
    found = [len(cgroups(parts.reader, NOW + second * SECOND_NS)) for second in (0, 1, 59, 60, 61)]
    assert ([1, 0, 0, 1, 0], 2) == (found, parts.tree.scans)


def test_without_the_tracepoint_every_reading_scans(parts: types.SimpleNamespace) -> None:
    """Else a cgroup would be unknown for a minute."""
    parts.kernel.missing = ("cgroup_mkdir",)
    for second in range(7):
        cgroups(parts.reader, NOW + second * SECOND_NS)
    assert 7 == parts.tree.scans


def test_a_bad_record_is_counted_and_the_tree_scanned(parts: types.SimpleNamespace) -> None:
    """What it may have told is found on disk, in the same reading."""
    cgroups(parts.reader, NOW)
    parts.kernel.cgroups = [b"short"]
    assert ["/found"] == [event.path for event in cgroups(parts.reader, NOW + 1)]
    assert {"cgroup_record_size": 1} == parts.drops


def test_events_that_the_ring_lost_are_looked_for_at_once(parts: types.SimpleNamespace) -> None:
    """Each loss brings one scan; a loss that is known brings none."""
    cgroups(parts.reader, NOW)
    for lost, scans in ((3, 2), (3, 2), (5, 3)):
        parts.kernel.cgroups_lost = lost
        cgroups(parts.reader, NOW + 1)
        assert scans == parts.tree.scans


def test_what_the_ring_told_is_not_told_again_by_a_scan(parts: types.SimpleNamespace) -> None:
    """The ring knows when; the scan only knows that."""
    parts.kernel.cgroups = [test_wire.cgroup_record(b"/told")]
    assert ["/told"] == [event.path for event in cgroups(parts.reader, NOW)]


def test_bad_connection_records_are_counted(parts: types.SimpleNamespace) -> None:
    """Those of a wrong length and those with impossible values; the stage is listed at zero too."""
    assert [] == parts.reader.ended()
    assert {"record_malformed": 0} == parts.drops
    impossible = bytearray(wire.CONNECTION_RECORD.itemsize)
    parts.kernel.ended = [b"short", bytes(impossible)]
    assert [] == parts.reader.ended()
    assert {"record_malformed": 2} == parts.drops


def swept(monkeypatch: pytest.MonkeyPatch, took_s: float, *found: model.OpenSocket, refused: int = 0) -> list[int]:
    """Have sweeps find these sockets in this time; returns a list that grows with each."""
    calls: list[int] = []

    def sweep(root: pathlib.Path) -> tuple[float, sockets.Sweep]:
        calls.append(1)
        return took_s, sockets.Sweep(sockets=list(found), listeners=[], refused=refused)

    monkeypatch.setattr(reader, "_timed_sweep", sweep)
    return calls


@pytest.mark.parametrize(("took_s", "due_s"), [(0.001, 1), (0.05, 5), (3.0, 10)])
async def test_a_dear_sweep_comes_less_often(
    parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, took_s: float, due_s: int
) -> None:
    """A hundredth of a processor, within the bounds; one that is almost due comes with this tick."""
    calls = swept(monkeypatch, took_s)
    await parts.reader.open_connections((), NOW)
    due_ns = int(due_s * 0.9 * SECOND_NS)
    await parts.reader.open_connections((), NOW + due_ns - 1)
    assert 1 == len(calls)
    await parts.reader.open_connections((), NOW + due_ns)
    assert 2 == len(calls)


async def test_sockets_of_others_are_left_out(parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace may be shared: only cgroups below our root count, and what the programs follow."""
    parts.kernel.slots = test_live.slot(2)
    found = [test_live.opened(cookie, sent=10)._replace(cgroup=model.CgroupId(cookie)) for cookie in (1, 2, 3)]
    swept(monkeypatch, 0.0, *found)
    still_open, older = await parts.reader.open_connections({3}, NOW)
    assert ([9], []) == (still_open.values["sent_bytes"].tolist(), older)
    swept(monkeypatch, 0.0, *(each._replace(moved=each.moved._replace(sent_bytes=17)) for each in found))
    _, older = await parts.reader.open_connections({3}, NOW + 100 * SECOND_NS)
    assert [(3, 7)] == [(change.edge.cgroup, change.counters.sent_bytes) for change in older]


async def test_between_sweeps_what_is_open_is_read_and_what_it_moved_is_not(
    parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots cost nothing to read: a connection shows with the next tick, its bytes with the next sweep."""
    parts.kernel.slots = test_live.slot(2)
    calls = swept(monkeypatch, 0.0, test_live.opened(2, sent=10))
    for boot_ns, moved in ((NOW, 9), (NOW + 1, 0)):
        still_open, _ = await parts.reader.open_connections((), boot_ns)
        assert ([1], [moved]) == (still_open.values["opened"].tolist(), still_open.values["sent_bytes"].tolist())
    assert 1 == len(calls)


def test_an_open_connection_has_an_edge_made_unless_there_is_one(parts: types.SimpleNamespace) -> None:
    """Named after the first of its connections; what finds no room is counted at every reading."""
    table, held = edges.Table(), fake_kernel.Kernel()
    keys = [fake_kernel.key(cgroup, local="10.7.0.2", remote="10.7.0.3", port=8080) for cgroup in (7, 8)]
    held.end(held.establish(keys[0], NOW), NOW)
    table.difference(*held.edges(), idle_before_boot_ns=0)
    slots = [test_live.slot(5 - at, opened_ns=NOW + at, key=keys[1]) for at in (3, 2)]
    parts.kernel.slots = np.concatenate([test_live.slot(1, key=keys[0]), *slots])
    parts.kernel.refuses = 1
    for _ in range(3):
        parts.reader.make_edges(table)
    assert [([8], [NOW + 2 << 8 | 3])] * 3 == parts.kernel.made
    assert {"open_edges_full": 3} == parts.drops


async def test_refused_namespaces_are_counted(parts: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time; listed at zero too."""
    swept(monkeypatch, 0.0, refused=0)
    await parts.reader.open_connections((), NOW)
    assert {"sweep_namespace_refused": 0} == parts.drops
    swept(monkeypatch, 0.0, refused=3)
    await parts.reader.open_connections((), NOW + 100 * SECOND_NS)
    assert {"sweep_namespace_refused": 3} == parts.drops
