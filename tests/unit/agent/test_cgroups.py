"""Finding the cgroup2 tree and telling what changed in it; ordinary directories stand in for cgroups.

Leaves out what a path means (``test_places``).
"""

import pathlib

import pytest

from agent import cgroups, errors, model

UNIFIED = """\
24 30 0:22 / /proc rw,nosuid - proc proc rw
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec - cgroup2 cgroup2 rw,nsdelegate
90 30 0:30 /docker/ab /var/lib/containers/x/sys/fs/cgroup ro - cgroup2 cgroup2 rw
"""
HYBRID = """\
35 24 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs ro,mode=755
36 35 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
37 35 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""
ODD = "36 35 0:31 / /mnt/with\\040space rw - cgroup2 none rw\n"


@pytest.mark.parametrize(
    ("text", "root"),
    [(UNIFIED, "/sys/fs/cgroup"), (HYBRID, "/sys/fs/cgroup/unified"), (ODD, "/mnt/with space")],
)
def test_the_cgroup2_mount_is_found(tmp_path: pathlib.Path, text: str, root: str) -> None:
    """Alone, beside version 1, and under a name that mountinfo escapes."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(text)
    assert pathlib.Path(root) == cgroups.find_root(mountinfo)


def test_no_cgroup2_is_an_error_with_a_remedy(tmp_path: pathlib.Path) -> None:
    """It says where it looked and what to mount."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(UNIFIED.splitlines()[0])
    with pytest.raises(errors.Unavailable, match="no cgroup2 file system") as raised:
        cgroups.find_root(mountinfo)
    assert "--cgroup-root" in raised.value.hint


def test_a_subtree_belongs_to_the_innermost_mount(tmp_path: pathlib.Path) -> None:
    """Paths in events start at the mount, whatever part of the tree is watched."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(UNIFIED + HYBRID)
    inside = pathlib.Path("/sys/fs/cgroup/unified/ipseity-demo/node-a")
    assert pathlib.Path("/sys/fs/cgroup/unified") == cgroups.mount_of(inside, mountinfo)
    with pytest.raises(errors.Unavailable, match="/etc is not in a cgroup2"):
        cgroups.mount_of(pathlib.Path("/etc"), mountinfo)


@pytest.fixture
def mount(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "node-a/kubepods/pod1/c1").mkdir(parents=True)
    (tmp_path / "node-b").mkdir()
    (tmp_path / "node-a/cgroup.procs").write_text("")
    return tmp_path


def test_a_scan_tells_every_directory_by_its_inode(mount: pathlib.Path) -> None:
    """Parents first; files and other nodes' trees are not in it."""
    tree = cgroups.Tree(mount / "node-a", mount)
    paths = ["/node-a", "/node-a/kubepods", "/node-a/kubepods/pod1", "/node-a/kubepods/pod1/c1"]
    assert [
        model.CgroupEvent(cgroup=model.CgroupId((mount / path[1:]).stat().st_ino), path=path, boot_ns=7)
        for path in paths
    ] == list(tree.scan(7))
    assert "/" == next(cgroups.Tree(mount, mount).scan(7)).path


def test_changes_are_told_once(mount: pathlib.Path) -> None:
    """What is new and what is missing; nothing when nothing is."""
    tree = cgroups.Tree(mount / "node-a", mount)
    alive = {event.cgroup for event in tree.scan(1)}
    assert [] == tree.changes(alive, 2)
    inode = (mount / "node-a/kubepods/pod1/c1").stat().st_ino
    (mount / "node-a/kubepods/pod1/c1").rename(mount / "node-b/c1")
    (mount / "node-a/kubepods/pod2").mkdir()
    gone, new = tree.changes(alive, 3)
    assert (inode, True, "") == (gone.cgroup, gone.gone, gone.path)
    assert ("/node-a/kubepods/pod2", False) == (new.path, new.gone)


def test_an_unreadable_directory_is_counted_and_ends_nobody(
    mount: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not seen need not be gone."""
    tree = cgroups.Tree(mount / "node-a", mount)
    alive = {event.cgroup for event in tree.scan(1)}
    scandir = cgroups.os.scandir

    def refuse(path: pathlib.Path) -> object:
        if path.name == "pod1":
            raise PermissionError(13, "not for you", str(path))
        return scandir(path)

    monkeypatch.setattr(cgroups.os, "scandir", refuse)
    assert [] == tree.changes(alive, 2)
    assert 1 == tree.unreadable


def test_a_directory_that_goes_away_meanwhile_is_no_error(mount: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cgroups come and go while they are listed."""
    tree = cgroups.Tree(mount / "node-a", mount)
    scandir = cgroups.os.scandir

    def vanish(path: pathlib.Path) -> object:
        if path.name == "pod1":
            raise FileNotFoundError(2, "gone", str(path))
        return scandir(path)

    monkeypatch.setattr(cgroups.os, "scandir", vanish)
    assert 3 == len(list(tree.scan(2)))
    assert 0 == tree.unreadable
