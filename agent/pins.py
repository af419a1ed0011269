"""Our maps and links in bpffs, /sys/fs/bpf/ipseity/<instance>/<abi>-<digest>/, so that a restarted agent adopts them.

The digest covers the C sources and every define, so that a change of either is another directory: old programs are
replaced, never read with new eyes. Leaves out making what is pinned (``kernel``).
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

from agent import bpfcall, errors

_FOLDER = "ipseity"
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def home(bpffs: pathlib.Path, instance: str) -> pathlib.Path:
    """Return the directory of one agent instance."""
    if not _INSTANCE.fullmatch(instance):
        raise errors.KernelRefused(
            f"cannot name a pin directory after instance {instance!r}",
            hint="use 1 to 64 letters, digits, '-' or '_' for --instance",
        )
    return bpffs / _FOLDER / instance


def digest(text: str, defines: Mapping[str, object], programs: Iterable[str]) -> str:
    """Return 12 hexadecimal digits for this very set of programs."""
    whole = json.dumps([text, dict(defines), list(programs)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def mounted(bpffs: pathlib.Path) -> bool:
    """Tell whether there is a BPF file system at ``bpffs``."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return any(fields[4] == str(bpffs) and " - bpf " in line for line in lines if (fields := line.split()))


def ensure_mounted(bpffs: pathlib.Path) -> None:
    """Mount bpffs if it is missing. A mount that was there is left as it is."""
    if mounted(bpffs):
        return
    try:
        bpffs.mkdir(parents=True, exist_ok=True)
        bpfcall.mount("bpf", str(bpffs))
    except OSError as error:
        raise errors.KernelRefused(
            f"cannot mount bpffs at {bpffs}: {error.strerror}",
            hint="mount the host's /sys/fs/bpf into the container, or run: mount -t bpf bpf /sys/fs/bpf",
        ) from error


def adopt(folder: pathlib.Path, names: Iterable[str]) -> dict[str, int] | None:
    """Open every pin of ``names``; None (and nothing open) unless all are there."""
    opened: dict[str, int] = {}
    for name in names:
        try:
            opened[name] = bpfcall.unpinned(str(folder / name))
        except OSError:
            for fd in opened.values():
                os.close(fd)
            return None
    return opened


def complete(folder: pathlib.Path, wanted: Mapping[str, int]) -> list[str]:
    """Pin what has no pin in ``folder``; returns the names. Raises OSError."""
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        bpfcall.pin(wanted[name], str(folder / name))
    return missing


def remove(folder: pathlib.Path) -> list[str]:
    """Unpin all in ``folder`` and remove it; what nobody else holds open is detached and freed by the kernel.

    Returns what went.
    """
    if not folder.is_dir():
        return []
    # Links first: a program must not go on counting into a map that has no name any more.
    gone = sorted(folder.iterdir(), key=lambda pin: (not pin.name.startswith("link_"), pin.name))
    for pin in gone:
        with contextlib.suppress(FileNotFoundError):
            pin.unlink()
    with contextlib.suppress(FileNotFoundError, OSError):
        folder.rmdir()
    return [str(pin) for pin in gone]


def lock(folder: pathlib.Path) -> int:
    """Take an instance's directory for this process alone, until the descriptor is closed. Raises errors.KernelRefused.

    Two agents of one instance would read each other's rings empty and remove each other's programs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise errors.KernelRefused(
            f"cannot take {folder}: an agent of instance {folder.name!r} is running",
            hint="stop it first, or give this one another --instance",
        ) from error
    return held


def lock_again(folder: pathlib.Path, held: int) -> int:
    """Hold the directory that has this name now: another agent could take one that was made anew.

    Returns ``held`` if it is that one, else another descriptor, and closes it. Raises errors.KernelRefused.
    """
    if folder.is_dir() and os.fstat(held).st_ino == folder.stat().st_ino:
        return held
    again = lock(folder)
    os.close(held)
    return again


def retire(folder: pathlib.Path, abi: int) -> list[int]:
    """Detach and remove all versions of an instance; returns the tables of edges that can still be read.

    What they counted since it was last read would be lost otherwise. The caller closes them.
    """
    tables = []
    for version in sorted(folder.iterdir()):
        if version.name.startswith(f"{abi}-"):
            with contextlib.suppress(OSError):
                tables.append(bpfcall.unpinned(str(version / "edges")))
        remove(version)
    return tables


def remove_instance(bpffs: pathlib.Path, instance: str, *, but: str = "") -> list[str]:
    """Remove every version of one instance (``but`` one); nothing of other instances or other tools is touched."""
    base = home(bpffs, instance)
    if not base.is_dir():
        return []
    gone = [path for folder in sorted(base.iterdir()) if folder.name != but for path in remove(folder)]
    for folder in (base, base.parent):
        with contextlib.suppress(OSError):  # not empty: somebody else's, or the version we keep
            folder.rmdir()
    return gone
