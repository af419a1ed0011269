"""Mounts: the lab's tmpfs, a container's root, a volume in memory, and finding what was left.

Here so that one file calls mount(2). Leaves out a container's own mounts: the runtime makes those inside the
container.
"""

import ctypes
import os
import pathlib
import re

from comparisons.lab import errors

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
"""include/uapi/linux/mount.h"""
MNT_DETACH = 2
"""umount2(2)"""
INFO = pathlib.Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")

_libc = ctypes.CDLL(None, use_errno=True)


def tmpfs(path: pathlib.Path, *, mode: int = 0o755, size_bytes: int = 0) -> None:
    """Mount a file system in memory, private: what is mounted below it is nobody else's business."""
    path.mkdir(parents=True, exist_ok=True)
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options)
    _mount("none", path, "", MS_PRIVATE, "")


def root(directory: pathlib.Path, below: str) -> pathlib.Path:
    """Mount the host's root, or another, as a container may see and change it: changes go to a layer that dies with it.

    Mounts of the host are not in it: /home on a disk of its own is empty there (give it as a hostPath).
    """
    for name in ("upper", "work", "rootfs"):
        (directory / name).mkdir(parents=True)
    options = f"lowerdir={below},upperdir={directory / 'upper'},workdir={directory / 'work'}"
    _mount("overlay", directory / "rootfs", "overlay", 0, options)
    return directory / "rootfs"


def bind(source: str, target: pathlib.Path) -> None:
    """Make ``source`` also appear at ``target``, which exists."""
    _mount(source, target, "", MS_BIND, "")


def detach(path: pathlib.Path) -> bool:
    """Unmount now, whoever uses it; whether there was anything to unmount."""
    return bool(_libc.umount2(os.fsencode(path), MNT_DETACH) == 0)


def below(path: pathlib.Path) -> list[pathlib.Path]:
    """Mount points at ``path`` and below, the latest first: the order in which to detach them."""
    points = (_unescape(line.split()[4]) for line in INFO.read_text().splitlines())
    return [point for point in reversed([pathlib.Path(it) for it in points]) if point.is_relative_to(path)]


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _mount(source: str, target: pathlib.Path, kind: str, flags: int, options: str) -> None:
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if result != 0:
        reason = os.strerror(ctypes.get_errno()).lower()
        raise errors.LabError(
            f"cannot mount {kind or source} at {target}: {reason}",
            hint="the lab needs root (CAP_SYS_ADMIN), overlay and tmpfs",
        )
