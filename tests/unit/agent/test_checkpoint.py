"""The file that a restarted agent goes on from. Left out: what it does then (test_continuity, tests/prove/restart)."""

import pathlib

import msgspec
import pytest

from agent import checkpoint

BOOT = "0cbd0d3a-8f2c-4a36-a2b7-1f4f1f6e7c11"
STATE = checkpoint.State(boot_id=BOOT, written_boot_ns=7, edges={"ids": b"\0\1"}, metrics={"a": [1]})


@pytest.fixture(autouse=True)
def boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a boot of a known name."""
    monkeypatch.setattr(checkpoint, "boot_id", lambda: BOOT)


def test_what_was_saved_comes_back(tmp_path: pathlib.Path) -> None:
    """In a folder that is made for it."""
    path = tmp_path / "run" / "state"
    checkpoint.save(path, STATE)
    assert (STATE, "") == checkpoint.load(path)


def test_no_file_is_no_fault(tmp_path: pathlib.Path) -> None:
    """The first start."""
    assert (None, checkpoint.NONE_YET) == checkpoint.load(tmp_path / "state")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "unreadable"),
        (b"\xff\xff not it", "unreadable"),
        (msgspec.msgpack.encode(STATE)[:-3], "unreadable"),
        (msgspec.msgpack.encode(STATE).replace(BOOT.encode(), b"\xff" * len(BOOT)), "unreadable"),
        (b"\x81\xa7metrics" + b"\x91" * 100_000 + b"\xc0", "unreadable"),
        (msgspec.msgpack.encode({"version": "one"}), "unreadable"),
        (msgspec.msgpack.encode(msgspec.structs.replace(STATE, version=2)), "version 2, not 1"),
        (msgspec.msgpack.encode(msgspec.structs.replace(STATE, boot_id="another")), "earlier boot"),
    ],
)
def test_a_file_of_something_else_is_said_and_not_used(tmp_path: pathlib.Path, content: bytes, why: str) -> None:
    """Cut, damaged, of another version, of another boot."""
    path = tmp_path / "state"
    path.write_bytes(content)
    state, said = checkpoint.load(path)
    assert state is None
    assert why in said


def test_a_folder_in_its_place_is_unreadable(tmp_path: pathlib.Path) -> None:
    """And cannot be replaced: the error goes to the caller, nothing half-written stays."""
    path = tmp_path / "state"
    (path / "inside").mkdir(parents=True)
    assert "unreadable" in checkpoint.load(path)[1]
    with pytest.raises(OSError, match="directory"):
        checkpoint.save(path, STATE)
    assert [path] == list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_one(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the last good state is still there, and no other file."""
    path = tmp_path / "state"
    checkpoint.save(path, STATE)

    def full(self: pathlib.Path, target: pathlib.Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(pathlib.Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(path, msgspec.structs.replace(STATE, written_boot_ns=11))
    assert [path] == list(tmp_path.iterdir())
    assert (STATE, "") == checkpoint.load(path)


def test_only_its_owner_may_read_it(tmp_path: pathlib.Path) -> None:
    """It says who talks to whom."""
    checkpoint.save(tmp_path / "state", STATE)
    assert 0 == (tmp_path / "state").stat().st_mode & 0o077
