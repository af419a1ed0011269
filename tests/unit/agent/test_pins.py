"""Names and order of what is pinned, in plain folders. Left out: bpffs itself (tests/functional/agent)."""

import os
import pathlib

import pytest

from agent import errors, pins


@pytest.mark.parametrize("instance", ["", ".", "..", "a/b", "../agent", "a b", "a" * 65, "ü", "agent\n"])
def test_a_name_that_would_leave_our_folder_is_refused(tmp_path: pathlib.Path, instance: str) -> None:
    """Cleaning up removes what is in there: it must be ours."""
    with pytest.raises(errors.KernelRefused, match="instance") as refusal:
        pins.home(tmp_path, instance)
    assert "--instance" in refusal.value.hint
    with pytest.raises(errors.KernelRefused):
        pins.remove_instance(tmp_path, instance)


def test_each_instance_has_its_folder(tmp_path: pathlib.Path) -> None:
    """Below ours."""
    assert tmp_path / "ipseity" / "lab-node_a" == pins.home(tmp_path, "lab-node_a")


def test_any_difference_is_another_digest() -> None:
    """Text, a define, a program; the order of defines is none."""
    base = ("text", {"A": 1, "B": 2}, ("x", "y"))
    others = [("text ", *base[1:]), ("text", {"A": 1, "B": 3}, ("x", "y")), ("text", {"A": 1, "B": 2}, ("x",))]
    digests = {pins.digest(*each) for each in (base, *others)}
    assert (4, {12}) == (len(digests), {len(each) for each in digests})
    assert pins.digest(*base) == pins.digest("text", {"B": 2, "A": 1}, ("x", "y"))


def test_links_go_before_the_maps_that_they_count_into(tmp_path: pathlib.Path) -> None:
    """And then the folder."""
    folder = tmp_path / "1-abc"
    folder.mkdir()
    for name in ("edges", "link_tcp_ops", "connections", "link_packet_egress"):
        (folder / name).touch()
    gone = [pathlib.Path(path).name for path in pins.remove(folder)]
    assert ["link_packet_egress", "link_tcp_ops", "connections", "edges"] == gone
    assert not folder.exists()
    assert [] == pins.remove(folder)


def test_other_versions_go_and_other_instances_stay(tmp_path: pathlib.Path) -> None:
    """What is kept keeps its folder."""
    for name in ("agent/1-old", "agent/1-new", "other/1-old"):
        folder = tmp_path / "ipseity" / name
        folder.mkdir(parents=True)
        (folder / "edges").touch()
    assert 1 == len(pins.remove_instance(tmp_path, "agent", but="1-new"))
    left = sorted(str(path.parent.relative_to(tmp_path / "ipseity")) for path in tmp_path.rglob("edges"))
    assert ["agent/1-new", "other/1-old"] == left
    pins.remove_instance(tmp_path, "agent")
    pins.remove_instance(tmp_path, "other")
    assert [] == list(tmp_path.iterdir())


def test_half_a_set_is_not_adopted_and_nothing_stays_open(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pin is missing: those that were opened are closed again."""
    for name in ("edges", "records"):
        (tmp_path / name).touch()
    monkeypatch.setattr(pins.bpfcall, "unpinned", lambda path: os.open(path, os.O_RDONLY))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # not files of ours
    assert pins.adopt(tmp_path, ["edges", "records", "gone"]) is None
    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # not files of ours
    whole = pins.adopt(tmp_path, ["edges", "records"])
    assert whole is not None
    assert ["edges", "records"] == list(whole)
    for fd in whole.values():
        os.close(fd)


def test_no_bpffs_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused, where, and what to do."""

    def refuse(kind: str, where: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(pins.bpfcall, "mount", refuse)
    assert not pins.mounted(tmp_path)
    with pytest.raises(errors.KernelRefused, match="Operation not permitted") as refusal:
        pins.ensure_mounted(tmp_path)
    assert "mount -t bpf" in refusal.value.hint
