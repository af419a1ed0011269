"""Programs that outlive their agent: adopted by the next one, replaced when they differ, removed by cleanup.

Left out: that no byte is missing over a kill (tests/prove/restart.py; tests/sim/test_told_once.py has the arithmetic).
"""

import dataclasses
import ipaddress
import pathlib
import socket
from collections.abc import Iterator

import pytest

from agent import (
    attach,
    bpfcall,
    clock,
    config,
    drops,
    edges,
    errors,
    handshake,
    kernel,
    model,
    ownership,
    pins,
    reader,
    remembered,
    wire,
)
from tests.scene import room
from tests.unit.agent import test_identities, test_lives

BPFFS = pathlib.Path("/sys/fs/bpf")


@pytest.fixture
def options() -> Iterator[attach.Options]:
    """Give a cgroup and an instance of our own."""
    path = room.cgroup_root() / "ipseity-adoption"
    path.mkdir()
    yield attach.Options(cgroup_root=path, instance="adoption")
    attach.cleanup(BPFFS, "adoption")
    path.rmdir()


def versions() -> list[str]:
    """Name the versions that are pinned."""
    home = pins.home(BPFFS, "adoption")
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


def test_a_second_start_adopts_what_runs(options: attach.Options) -> None:
    """Same sources, same settings, same cgroup: nothing is loaded again."""
    first = kernel.Kernel(options)
    first.close()
    second = kernel.Kernel(options)
    second.close()
    assert (False, True) == (first.adopted, second.adopted)


def test_another_table_size_replaces_what_runs(options: attach.Options) -> None:
    """A setting that is compiled in makes another version; the old one goes."""
    kernel.Kernel(options).close()
    before = versions()
    changed = attach.Options(cgroup_root=options.cgroup_root, instance=options.instance, max_edges=128)
    held = kernel.Kernel(changed)
    held.close()
    assert not held.adopted
    assert len(versions()) == 1
    assert versions() != before


def test_an_upgrade_tells_what_the_old_programs_counted(options: attach.Options) -> None:
    """The table of the version that is replaced is read once more, and only once."""
    kernel.Kernel(options).close()
    (options.cgroup_root / "inside").mkdir()
    try:
        _connect_inside(options.cgroup_root / "inside")  # while no agent runs
    finally:
        (options.cgroup_root / "inside").rmdir()
    held = kernel.Kernel(dataclasses.replace(options, max_edges=128))
    try:
        assert not held.adopted
        assert [1, 1] == held.edges()[1]["closed"].tolist()
        assert 2 == held.let_go()
        assert 0 == len(held.edges()[0])
    finally:
        held.close()


def test_two_agents_of_one_instance_do_not_meet(options: attach.Options) -> None:
    """The second one is refused, and so is cleanup, until the first has gone; nothing of the first is touched."""
    held = kernel.Kernel(options)
    before = versions()
    other = dataclasses.replace(options, max_edges=128)
    try:
        with pytest.raises(errors.KernelRefused, match="'adoption' is running"):
            kernel.Kernel(other)
        with pytest.raises(errors.KernelRefused, match="'adoption' is running"):
            attach.cleanup(BPFFS, "adoption")
        assert before == versions()
    finally:
        held.close()


def test_half_a_set_of_pins_is_not_adopted(options: attach.Options) -> None:
    """A crash in the middle of loading leaves some pins: the next start begins anew."""
    kernel.Kernel(options).close()
    folder = pins.home(BPFFS, "adoption") / versions()[0]
    (folder / "link_tcp_ops").unlink()
    held = kernel.Kernel(options)
    held.close()
    assert not held.adopted
    assert (folder / "link_tcp_ops").exists()


def test_a_cgroup_that_was_made_anew_is_attached_anew(options: attach.Options) -> None:
    """Same path, other cgroup: the old links count nothing there."""
    kernel.Kernel(options).close()
    options.cgroup_root.rmdir()
    options.cgroup_root.mkdir()
    held = kernel.Kernel(options)
    held.close()
    assert not held.adopted


@pytest.mark.parametrize("what", ["link_tcp_ops", "all"])
def test_pins_that_were_removed_by_hand_are_put_back(options: attach.Options, what: str) -> None:
    """One, or all with their folder: the next start adopts what has run all the time, and only after this one."""
    held = kernel.Kernel(options)
    folder = pins.home(BPFFS, "adoption") / versions()[0]
    try:
        assert [] == held.pin_again()
        gone = {pin.name for pin in folder.iterdir() if what in {pin.name, "all"}}
        for name in gone:
            (folder / name).unlink()
        if what == "all":
            folder.rmdir()
            folder.parent.rmdir()
        assert gone == set(held.pin_again())
        with pytest.raises(errors.KernelRefused, match="'adoption' is running"):
            kernel.Kernel(options)
    finally:
        held.close()
    again = kernel.Kernel(options)
    again.close()
    assert again.adopted


def test_cleanup_removes_ours_and_nothing_else(options: attach.Options) -> None:
    """Another instance and somebody else's pin stay."""
    kernel.Kernel(options).close()
    other = attach.Options(cgroup_root=options.cgroup_root, instance="adoption-other")
    kernel.Kernel(other).close()
    foreign = BPFFS / "not-ipseity"
    fd = bpfcall.unpinned(str(next(pins.home(BPFFS, "adoption-other").iterdir()) / "edges"))
    try:
        bpfcall.pin(fd, str(foreign))
        removed = attach.cleanup(BPFFS, "adoption")
        assert removed
        assert all("/ipseity/adoption/" in path for path in removed)
        assert foreign.exists()
        assert pins.home(BPFFS, "adoption-other").is_dir()
        assert not pins.home(BPFFS, "adoption").exists()
    finally:
        foreign.unlink(missing_ok=True)
        attach.cleanup(BPFFS, "adoption-other")


def test_prefixes_of_the_former_agent_go(options: attach.Options) -> None:
    """The table is adopted, what the settings say is not: only the new ones collapse and stay exact."""
    one, other = ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32")
    for kept, collapsed in (([one], []), ([], [other])):
        held = kernel.Kernel(options)
        try:
            held.settle(records=False, private=True, kept=kept, collapsed=collapsed)
            written = set(bpfcall.keys(held._fds["prefixes"], wire.PREFIX_KEY.itemsize))
        finally:
            held.close()
    assert held.adopted
    assert {wire.prefix_entry(prefix, keep=False)[0] for prefix in (*wire.EVERYTHING, other)} == written


def test_forgotten_edges_come_once_more_with_their_last_values(options: attach.Options) -> None:
    """What came in between reading and deleting is in the next reading; again, until it was told."""
    held = kernel.Kernel(options)
    try:
        held.settle(records=False, private=True, kept=(), collapsed=())
        (options.cgroup_root / "inside").mkdir()
        _connect_inside(options.cgroup_root / "inside")
        keys, values = held.edges()
        assert len(keys) == 2
        ids = sorted(values["id"].tolist())
        held.forget(keys.copy())
        for _ in range(3):
            assert ids == sorted(held.edges()[1]["id"].tolist())
        assert (2, 0) == (held.let_go(), held.let_go())
        assert len(held.edges()[0]) == 0
    finally:
        (options.cgroup_root / "inside").rmdir()
        held.close()


def _connect_inside(cgroup: pathlib.Path) -> None:
    """Make one connection from a cgroup: this process goes there and comes back."""
    procs, home = cgroup / "cgroup.procs", room.cgroup_root() / _own_cgroup() / "cgroup.procs"
    procs.write_text("0")
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()),
            server.accept()[0],
        ):
            pass
    finally:
        home.write_text("0")


def _own_cgroup() -> str:
    lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::")).lstrip("/")


def test_a_full_table_of_identities_says_what_it_refused(options: attach.Options) -> None:
    """What is there can be said anew; what goes makes room within the same call."""
    held = kernel.Kernel(options)
    try:
        refused = held.identify(dict.fromkeys(range(1, 5000), (2, 3)))
        there = held.identified()
        assert (4096, set(range(1, 5000))) == (len(there), there | refused)
        assert not there & refused
        kept, other = min(there), min(refused)
        assert {other} == held.identify({kept: (4, 5), other: (2, 3)})
        assert set() == held.identify({other: (2, 3), kept: None})
        assert (there | {other}) - {kept} == held.identified()
    finally:
        held.close()


def test_a_pod_that_runs_on_over_a_restart_keeps_its_identity(options: attach.Options) -> None:
    """The first scan after it finds the tree as the checkpoint has it; what is gone meanwhile is taken back."""
    folder = options.cgroup_root / test_lives.pod_path(7).rsplit("/", 1)[-1]
    folder.mkdir()
    cgroup = folder.stat().st_ino
    former = ownership.Ownership(history_s=60)
    former.apply_object(test_identities.here(7))
    held = kernel.Kernel(options)
    try:
        for event in _reader(held, options).tree.scan(clock.boot_ns()):
            path = test_lives.pod_path(7) if event.cgroup == cgroup else event.path
            former.apply_cgroup(dataclasses.replace(event, path=path))
        former.apply_cgroup(test_identities.directory(1 << 40, 7))
        held.identify({cgroup: test_identities.tags_of(7), 1 << 40: test_identities.tags_of(7), 1 << 41: (1, 2)})
        held.close()
        held = kernel.Kernel(options)
        resumed = ownership.Ownership(history_s=60)
        remembered.load(remembered.dump(former), resumed)
        told = handshake.Handshake(held, config.Config(node_name=test_identities.NODE), drops.Drops())
        told.begin(resumed.alive(model.Pod).values(), resumed.lives.in_pods())
        missed = _reader(held, options).cgroups_missed((), resumed.lives.alive(), clock.boot_ns())
        assert missed is not None
        told.cgroups(missed)
        told.tick(scanned=True, pods_known=True)
        assert {cgroup} == held.identified()
    finally:
        held.close()
        folder.rmdir()


def _reader(held: kernel.Kernel, options: attach.Options) -> reader.Reader:
    return reader.Reader(held, options.cgroup_root, edges.Prefixes((), ()), drops.Drops(), sweep_s=(1.0, 1.0))
