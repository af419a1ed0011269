"""The tree of cgroup2 directories, as events: which exist, which are new, which are gone.

Here because a cgroup id is an inode number and only the tree tells its path; the kernel's tracepoint tells of changes,
and this finds what was there before and what the tracepoint lost. Leaves out what a path means (``places``).
"""

import os
import pathlib
from collections.abc import Collection, Iterator

from agent import errors, model

_MOUNTINFO = pathlib.Path("/proc/self/mountinfo")
_HYBRID = "/sys/fs/cgroup/unified"


def find_root(mountinfo: pathlib.Path = _MOUNTINFO) -> pathlib.Path:
    """Find where cgroup2 is mounted: /sys/fs/cgroup, or a directory of it where version 1 is mounted beside it.

    Raises errors.Unavailable.
    """
    mounts = _cgroup2_mounts(mountinfo)
    if not mounts:
        raise errors.Unavailable(
            f"no cgroup2 file system among the mounts in {mountinfo}",
            hint="mount the host's /sys/fs/cgroup into the agent's container, or give --cgroup-root DIR",
        )
    # A host's own mounts are the short ones; containers' and the lab's lie deeper.
    return min(mounts, key=lambda mount: (len(mount.parts), str(mount) != _HYBRID))


def mount_of(root: pathlib.Path, mountinfo: pathlib.Path = _MOUNTINFO) -> pathlib.Path:
    """Find the cgroup2 mount that a directory is in; paths in events start there. Raises errors.Unavailable."""
    inside = [mount for mount in _cgroup2_mounts(mountinfo) if root.is_relative_to(mount)]
    if not inside:
        raise errors.Unavailable(
            f"{root} is not in a cgroup2 file system", hint="give a directory below the cgroup2 mount, or none"
        )
    return max(inside, key=lambda mount: len(mount.parts))


def _cgroup2_mounts(mountinfo: pathlib.Path) -> list[pathlib.Path]:
    """Read proc(5): fields before " - " end in mount point and options; after it comes the type."""
    found = []
    for line in mountinfo.read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            found.append(pathlib.Path(mount.split(" ")[4].encode().decode("unicode_escape")))
    return found


class Tree:
    """A cgroup2 directory and all below it."""

    def __init__(self, root: pathlib.Path, mount: pathlib.Path | None = None) -> None:
        """Watch ``root``; paths are told from ``mount``, as the kernel tells them."""
        self._root = root
        self._mount = mount or mount_of(root)
        self.unreadable = 0
        """Directories that could not be read, over all scans. One that went away meanwhile does not count."""

    def scan(self, now_boot_ns: int) -> Iterator[model.CgroupEvent]:
        """Yield every directory there is, parents first."""
        for inode, path in self._walk():
            yield model.CgroupEvent(cgroup=inode, path=path, boot_ns=now_boot_ns)

    def changes(self, alive: Collection[model.CgroupId], now_boot_ns: int) -> list[model.CgroupEvent]:
        """Tell what differs from the ids that are believed alive (and were before this scan began)."""
        unreadable = self.unreadable
        there = dict(self._walk())
        new = [
            model.CgroupEvent(cgroup=inode, path=path, boot_ns=now_boot_ns)
            for inode, path in there.items()
            if inode not in alive
        ]
        if self.unreadable > unreadable:
            return new  # what was not seen need not be gone
        missing = [inode for inode in alive if inode not in there]
        return [model.CgroupEvent(cgroup=inode, path="", boot_ns=now_boot_ns, gone=True) for inode in missing] + new

    def _walk(self) -> Iterator[tuple[model.CgroupId, str]]:
        pending = [self._root]
        while pending:
            directory = pending.pop()
            try:
                yield model.CgroupId(directory.stat().st_ino), self._path(directory)
                with os.scandir(directory) as entries:
                    below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            except FileNotFoundError:
                continue
            except OSError:
                self.unreadable += 1
                continue
            pending.extend(pathlib.Path(path) for path in sorted(below, reverse=True))

    def _path(self, directory: pathlib.Path) -> str:
        relative = directory.relative_to(self._mount).as_posix()
        return "/" if relative == "." else f"/{relative}"
