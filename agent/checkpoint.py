"""What a restarted agent goes on from: totals and what was told of each edge, written together so that they agree.

Here because counters must not lose or repeat anything when the agent is killed: the kernel's counters run on, and the
difference to what this file says was told is exactly what is missing in its totals. Belongs in memory (/run): after a
reboot it means nothing, and the boot id says so. Leaves out what the values are.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

_BOOT_ID: Final = pathlib.Path("/proc/sys/kernel/random/boot_id")
_VERSION: Final = 1
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE: Final = 0o600
"""It tells who talks to whom."""
_FIXMAP: Final = 0x80
"""MessagePack's head of a map of fewer than 16."""
NONE_YET: Final = "none yet"
"""Why there is no state at the first start."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One moment's state."""

    version: int = _VERSION
    boot_id: str = ""
    written_boot_ns: int = 0
    told_boot_ns: dict[str, int] | None = None
    """Up to when the owners have all that the API had to tell, by resource: long before, where it is away. None: an
    earlier version wrote the file."""
    edges: dict[str, bytes] = {}
    metrics: Any = None
    owners: msgspec.Raw = msgspec.Raw(b"\xc0")
    """As ``remembered`` reads it: with 150,000 pods, all of it decoded at once is half a gigabyte."""
    differences: Any = None
    accounts: list[tuple[str, str]] = []
    """Namespace and name of every service account that a tag was read as."""


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def save(path: pathlib.Path, state: State, owners: Iterable[bytes] = ()) -> None:
    """Replace the file in one step; a crash leaves the old one or the new one. Raises OSError.

    ``owners``: what is to be in that place instead, one value in pieces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name, so that killed agents do not leave one each; always a new file, never somebody's link.
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, _FLAGS, _MODE), "wb") as file:
            file.writelines(_pieces(state, owners))
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def _pieces(state: State, owners: Iterable[bytes]) -> Iterator[bytes]:
    """Give the state as one map of MessagePack, owners last."""
    parts = iter(owners)
    first = next(parts, b"") or msgspec.msgpack.encode(state.owners)
    fields = {name: getattr(state, name) for name in state.__struct_fields__ if name != "owners"}
    yield bytes((_FIXMAP | len(state.__struct_fields__),)) + msgspec.msgpack.encode(fields)[1:]
    yield msgspec.msgpack.encode("owners") + first
    yield from parts


def load(path: pathlib.Path) -> tuple[State | None, str]:
    """Read the file; None and the reason if there is none of this boot and version."""
    try:
        if path.exists() and not path.is_file():
            return None, "unreadable: no regular file"  # a FIFO would be waited on for ever
        state = msgspec.msgpack.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None, NONE_YET
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return None, f"unreadable: {error}"
    if state.version != _VERSION:
        return None, f"of version {state.version}, not {_VERSION}"
    if state.boot_id != boot_id():
        return None, "of an earlier boot"
    return state, ""
