"""What is written into the kernel's tables of identities and keys, and when. Left out: the programs that read them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from agent import config, drops, handshake, keys, model, ownership, remembered
from tests.unit.agent import test_identities, test_lives, test_tags

OLD, NEW = b"o" * 16, b"n" * 16
LATER_NS = 10 * 10**9


class FakeKernel:
    """Both tables."""

    def __init__(self, former: Mapping[int, tuple[int, int]] | None = None) -> None:
        self.identities = dict(former or {})
        self.keys: list[tuple[tuple[bytes, ...], bool]] = []
        self.room = 4096
        self.error: OSError | None = None

    def identified(self) -> set[int]:
        return set(self.identities)

    def identify(self, identities: Mapping[int, tuple[int, int] | None]) -> set[int]:
        if self.error is not None:
            raise self.error
        for cgroup in [cgroup for cgroup, told in identities.items() if told is None]:
            self.identities.pop(cgroup, None)
        refused = set()
        for cgroup, told in identities.items():
            if told is not None and (cgroup in self.identities or len(self.identities) < self.room):
                self.identities[cgroup] = told
            elif told is not None:
                refused.add(cgroup)
        return refused

    def handshake(self, keys: Sequence[bytes], *, on: bool) -> None:
        if self.error is not None:
            raise self.error
        self.keys.append((tuple(keys), on))


def made(held: FakeKernel, **said: Any) -> tuple[handshake.Handshake, drops.Drops]:
    lost = drops.Drops()
    settings = config.Config(node_name=test_identities.NODE, **said)
    return handshake.Handshake(held, settings, lost), lost  # type: ignore[arg-type]  # what it needs of it


def file_with(path: pathlib.Path, *lines: bytes, mode: int = 0o600) -> pathlib.Path:
    path.write_text("\n".join(line.hex() for line in lines))
    path.chmod(mode)
    return path


def test_both_kinds_of_events_are_written_at_once() -> None:
    """Nothing waits for a tick."""
    held = FakeKernel()
    told, _ = made(held)
    told.object(test_identities.here(7))
    told.cgroups([test_identities.directory(11, 7)])
    assert {11: test_identities.tags_of(7)} == held.identities
    told.cgroups([test_identities.directory(11, 7, gone=True)])
    assert {} == held.identities


def test_a_former_agent_s_identities_hold_until_the_pods_are_known() -> None:
    """Then those that are nobody's any more are taken back, once."""
    held = FakeKernel({11: test_identities.tags_of(7), 13: test_identities.tags_of(8)})
    told, _ = made(held)
    told.begin([test_tags.pod(7, node=test_identities.NODE)], {})
    told.tick(scanned=False, pods_known=True)
    assert {11, 13} == set(held.identities)
    told.cgroups([test_identities.directory(11, 7)])
    told.tick(scanned=True, pods_known=False)
    assert {11, 13} == set(held.identities)
    told.tick(scanned=False, pods_known=True)
    assert {11: test_identities.tags_of(7)} == held.identities


def test_pods_that_run_on_over_a_restart_are_still_who_they_were() -> None:
    """A scan tells only of what differs from the checkpoint: that their directories are there is known from it."""
    former = ownership.Ownership(history_s=60)
    former.apply_object(test_identities.here(7))
    for event in (test_identities.directory(11, 7), test_identities.directory(13, 8)):
        former.apply_cgroup(event)
    former.apply_cgroup(test_lives.event("/system.slice/sshd.service", 1, cgroup=17))
    resumed = ownership.Ownership(history_s=60)
    remembered.load(remembered.dump(former), resumed)
    held = FakeKernel({11: test_identities.tags_of(7), 13: test_identities.tags_of(8), 17: (1, 2)})
    told, _ = made(held)
    told.begin(resumed.alive(model.Pod).values(), resumed.lives.in_pods())
    told.cgroups([])
    told.tick(scanned=True, pods_known=True)
    assert {11: test_identities.tags_of(7)} == held.identities
    told.cgroups([test_lives.event("", 200, gone=True, cgroup=11)])
    assert {} == held.identities


def test_what_finds_no_room_is_counted_once_and_written_when_there_is_some() -> None:
    """At the next tick; until then it says nothing in handshakes. One that is gone by then is not written."""
    held = FakeKernel()
    told, lost = made(held)
    held.room = 1
    told.object(test_identities.here(7))
    told.cgroups([test_identities.directory(cgroup, 7) for cgroup in (11, 13, 17)])
    told.tick(scanned=False, pods_known=False)
    assert (2, {11}) == (lost.by_stage["identities_full"], set(held.identities))
    told.cgroups([test_identities.directory(cgroup, 7, gone=True) for cgroup in (11, 13)])
    told.tick(scanned=False, pods_known=False)
    assert {17: test_identities.tags_of(7)} == held.identities
    assert (2, {}) == (lost.by_stage["identities_full"], told._left)


def test_one_pod_does_not_use_up_the_room_of_others() -> None:
    """What it has beyond its share is counted."""
    held = FakeKernel()
    told, lost = made(held)
    for number in (7, 8):
        told.object(test_identities.here(number))
    told.cgroups([test_identities.directory(cgroup, 7) for cgroup in range(1000, 6000)])
    told.cgroups([test_identities.directory(11, 8)])
    assert (65, test_identities.tags_of(8)) == (len(held.identities), held.identities[11])
    assert (5000 - 64, 0) == (lost.by_stage["identities_refused"], lost.by_stage["identities_full"])


def test_a_kernel_that_refuses_a_write_ends_nothing() -> None:
    """Counted; what was to be written, or taken back, is with the next tick."""
    held = FakeKernel()
    told, lost = made(held)
    told.object(test_identities.here(7))
    told.cgroups([test_identities.directory(11, 7)])
    held.error = OSError(1, "odd")
    told.cgroups([test_identities.directory(11, 7, gone=True)])
    told.cgroups([test_identities.directory(13, 7)])
    told.tick(scanned=False, pods_known=False)
    assert ({11}, 3) == (set(held.identities), lost.by_stage["identities_failed"])
    held.error = None
    told.tick(scanned=False, pods_known=False)
    assert {13: test_identities.tags_of(7)} == held.identities


def test_keys_are_written_when_they_change() -> None:
    """The one that signs first; the same ones again are no news; without a Secret it is off, until there is one."""
    held = FakeKernel()
    told, _ = made(held)
    both = keys.Keys(current=NEW, previous=OLD)
    for found in (keys.Keys(current=OLD), keys.Keys(current=OLD), both, None, None, both):
        told.take(found)
    assert [((OLD,), True), ((NEW, OLD), True), ((), False), ((NEW, OLD), True)] == held.keys
    assert {"current", "previous"} == set(told.fingerprints)


def test_keys_that_the_kernel_refuses_are_told_again() -> None:
    """Counted; at the next tick, whoever delivered them goes on; also that there are none any more."""
    held = FakeKernel()
    told, lost = made(held)
    for found, expected in ((keys.Keys(current=OLD), ((OLD,), True)), (None, ((), False))):
        held.error = OSError(1, "odd")
        told.take(found)
        told.tick(scanned=False, pods_known=False)
        held.error = None
        told.tick(scanned=False, pods_known=False)
        told.tick(scanned=False, pods_known=False)
        assert expected == held.keys[-1]
    assert (2, 4) == (len(held.keys), lost.by_stage["handshake_keys_failed"])


def test_keys_that_cannot_be_used_change_nothing() -> None:
    """Counted, said once; what was there before goes on."""
    held = FakeKernel()
    told, lost = made(held)
    told.take(keys.Keys(current=OLD))
    told.take(keys.Unusable("odd", hint="mend it"))
    assert ([((OLD,), True)], 1) == (held.keys, lost.by_stage["handshake_keys_unusable"])


def test_until_the_secret_is_read_a_former_agent_s_keys_hold() -> None:
    """An agent that restarts while the API server is away goes on as before."""
    held = FakeKernel()
    told, _ = made(held)
    told.look(LATER_NS)
    assert (True, []) == (told.follows_secret, held.keys)


def test_switched_off_is_off_at_once() -> None:
    """Also what a former agent had switched on."""
    held = FakeKernel()
    told, _ = made(held, handshake_secret="")
    assert (False, [((), False)]) == (told.wanted, held.keys)


def test_the_file_is_read_again_when_it_changes(tmp_path: pathlib.Path) -> None:
    """Within some seconds, and not at every tick."""
    held, path = FakeKernel(), file_with(tmp_path / "keys", OLD)
    told, _ = made(held, handshake_key_file=path)
    assert (False, True) == (told.follows_secret, told.wanted)
    told.look(LATER_NS)
    file_with(path, NEW, OLD)
    told.look(LATER_NS + 1)
    assert [((OLD,), True)] == held.keys
    told.look(2 * LATER_NS)
    told.look(3 * LATER_NS)
    assert [((OLD,), True), ((NEW, OLD), True)] == held.keys


def test_a_file_that_cannot_be_used_is_counted(tmp_path: pathlib.Path) -> None:
    """Missing, open to everybody, no text: what was read before goes on, and what is good again is read."""
    held, path = FakeKernel(), tmp_path / "keys"
    told, lost = made(held, handshake_key_file=path)
    told.look(LATER_NS)
    file_with(path, OLD, mode=0o604)
    told.look(2 * LATER_NS)
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    told.look(3 * LATER_NS)
    assert ([], 3) == (held.keys, lost.by_stage["handshake_keys_unusable"])
    file_with(path, OLD)
    told.look(4 * LATER_NS)
    assert [((OLD,), True)] == held.keys
