"""Programs into the kernel: planned, loaded by a child process, attached, pinned; or adopted from a former agent.

Outcome: descriptors of all maps and links by name, for ``kernel`` to read from. Here because what is loaded depends on
the kernel and is worked out as a value first (``plan``). Leaves out BCC (``loader``), where pins live (``pins``) and
reading (``kernel``). A kernel that refuses is an error with a hint; a tracepoint that is missing only makes some
answers poorer: ``Attached.missing``.
"""

import dataclasses
import errno
import mmap
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Final

from agent import bpfcall, errors, loader, loading, pins, wire

_CGROUP_HOOKS: Final = {
    "tcp_ops": bpfcall.CGROUP_SOCK_OPS,
    "packet_egress": bpfcall.CGROUP_INET_EGRESS,
    "packet_ingress": bpfcall.CGROUP_INET_INGRESS,
}
_CONNECT_HOOKS: Final = {
    "connect_ipv4": bpfcall.CGROUP_INET4_CONNECT,
    "connect_ipv6": bpfcall.CGROUP_INET6_CONNECT,
}
"""Who calls connect(): from 6.2 on sock_ops is told."""
_TRACEPOINTS: Final = {
    "tcp_receive_reset": ("tcp/tcp_receive_reset", {"sock_cookie": "RESET_COOKIE_OFFSET"}),
    "tcp_error_report": ("sock/inet_sk_error_report", {"error": "ERROR_REPORT_OFFSET"}),
    "cgroup_mkdir": (
        "cgroup/cgroup_mkdir",
        {"root": "CGROUP_ROOT_OFFSET", "id": "CGROUP_ID_OFFSET", "path": "CGROUP_PATH_OFFSET"},
    ),
    "cgroup_rmdir": ("cgroup/cgroup_rmdir", {}),
}
_FIELD = re.compile(r"^\tfield:.*?(\w+)(?:\[\w*\])?;\toffset:(\d+);", re.MULTILINE)
_FLOOR: Final = (5, 10)
_TRACEPOINT_LINKS: Final = (5, 15)
_CALLER_TOLD: Final = (6, 2)
_CAPABILITIES: Final = {
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}  # linux/capability.h


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``open_kernel`` needs to know; each has a setting in ``config``."""

    cgroup_root: pathlib.Path
    bpffs: pathlib.Path = pathlib.Path("/sys/fs/bpf")
    tracefs: pathlib.Path = pathlib.Path("/sys/kernel/tracing")
    instance: str = "agent"
    max_edges: int = 65536
    max_connections: int = 65536
    max_prefixes: int = 1024
    record_ring_bytes: int = 1 << 20
    """A power of two of pages; 136 bytes and a header a record: 7,200 ended connections."""
    cgroup_ring_bytes: int = 1 << 18  # 590 events
    max_overflow: int = 2048  # for those that find no slot: cookies come in order, so few do while slots are free


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be loaded on this kernel, worked out before anything is touched."""

    version: tuple[int, int, int]
    defines: Mapping[str, int]
    hooks: Mapping[str, int]
    """Program -> ``enum bpf_attach_type`` of its place on the cgroup."""
    tracepoints: Mapping[str, int]
    """Program -> number of its tracepoint."""
    missing: tuple[str, ...]
    """Programs that this kernel (or a missing tracefs) has no hook for."""

    @property
    def programs(self) -> tuple[str, ...]:
        """All that are to be loaded."""
        return (*self.hooks, *self.tracepoints)

    @property
    def tracepoint_links(self) -> bool:
        """Whether this kernel has links to tracepoints (``BPF_LINK_TYPE_PERF_EVENT``), which can be pinned."""
        return self.version >= _TRACEPOINT_LINKS

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the links as they are pinned."""
        return tuple(f"link_{program}" for program in self.programs)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What runs in the kernel now."""

    descriptors: Mapping[str, int]
    """Of every map and link, by name; the owner closes them."""
    programs: tuple[str, ...]
    missing: tuple[str, ...]
    adopted: bool
    """Whether a former agent had left it running."""
    former_edges: tuple[int, ...]
    """Tables of edges of versions that were replaced: to be read once and closed."""
    lock: int
    """Keeps other agents of this instance out, until it is closed."""
    folder: pathlib.Path
    pinned: Mapping[str, int]
    """What stands in ``folder``, by name. Where tracepoints have no links their programs, which only this holds."""


def kernel_version(release: str) -> tuple[int, int, int]:
    """Read "6.1.0-13-amd64" as (6, 1, 0)."""
    numbers = [int(number) for number in re.findall(r"\d+", release)[:3]]
    return (numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0)


def missing_rights(status: str) -> list[str]:
    """List the capabilities that /proc/self/status says are missing to load and attach.

    CAP_SYS_ADMIN stands for two of them.
    """
    effective = int(re.findall(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)[0], 16)
    has = {name: bool(effective >> number & 1) for name, number in _CAPABILITIES.items()}
    needed = ("CAP_NET_ADMIN",) if has["CAP_SYS_ADMIN"] else ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")
    return [name for name in needed if not has[name]]


def _tracepoint(tracefs: pathlib.Path, name: str, wanted: Mapping[str, str]) -> tuple[int, dict[str, int]] | None:
    """Return number and offsets of a tracepoint; None where this kernel has none or it has other fields."""
    folder = tracefs / "events" / name
    try:
        number = int((folder / "id").read_text(encoding="ascii"))
        offsets = {
            field: int(offset) for field, offset in _FIELD.findall((folder / "format").read_text(encoding="ascii"))
        }
    except (OSError, ValueError):
        return None
    if any(field not in offsets for field in wanted):
        return None
    return number, {define: offsets[field] for field, define in wanted.items()}


def plan(options: Options, release: str) -> Plan:
    """Choose programs and defines for the kernel ``release``."""
    version = kernel_version(release)
    if version < _FLOOR:
        raise errors.KernelRefused(
            f"cannot run on kernel {release}: too old", hint="the agent needs Linux 5.10 or later; see docs/kernels.md"
        )
    defines = {
        "MAX_EDGES": options.max_edges,
        "MAX_CONNECTIONS": options.max_connections,
        "MAX_OVERFLOW": options.max_overflow,
        "MAX_PREFIXES": options.max_prefixes,
        "RECORD_RING_PAGES": max(1, options.record_ring_bytes // mmap.PAGESIZE),
        "CGROUP_RING_PAGES": max(1, options.cgroup_ring_bytes // mmap.PAGESIZE),
        # Offsets of what is missing here stand for programs that are compiled but not loaded.
        "RESET_COOKIE_OFFSET": 0,
        "CGROUP_ROOT_OFFSET": 0,
        "CGROUP_ID_OFFSET": 0,
        "CGROUP_PATH_OFFSET": 0,
    }
    numbers: dict[str, int] = {}
    for program, (name, wanted) in _TRACEPOINTS.items():
        if (found := _tracepoint(options.tracefs, name, wanted)) is not None:
            numbers[program] = found[0]
            defines |= found[1]
    if defines.pop("ERROR_REPORT_OFFSET", 8) != 8:  # struct error_report in bpf/tcp.c
        numbers.pop("tcp_error_report", None)
    return Plan(
        version=version,
        defines=defines,
        hooks=_CGROUP_HOOKS if version >= _CALLER_TOLD else _CGROUP_HOOKS | _CONNECT_HOOKS,
        tracepoints=numbers,
        missing=tuple(program for program in _TRACEPOINTS if program not in numbers),
    )


def _refusal(error: OSError, what: str) -> errors.KernelRefused:
    if error.errno in {errno.EPERM, errno.EACCES}:
        hint = "the agent needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; see: ipseity check"
    else:
        hint = "see docs/kernels.md for what this kernel must offer, and: ipseity check"
    return errors.KernelRefused(f"cannot {what}: {(error.strerror or str(error)).lower()}", hint=hint)


def _attach(chosen: Plan, descriptors: Mapping[str, int], cgroup: pathlib.Path) -> dict[str, int]:
    """Attach every program; return the links by name."""
    links: dict[str, int] = {}
    root = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for program in chosen.programs:
            what = f"attach {program} to {cgroup if program in chosen.hooks else 'its tracepoint'}"
            try:
                if program in chosen.hooks:
                    links[f"link_{program}"] = bpfcall.link(descriptors[program], root, chosen.hooks[program])
                else:
                    tie = _link_tracepoint if chosen.tracepoint_links else _hold_tracepoint
                    links[f"link_{program}"] = tie(descriptors[program], chosen.tracepoints[program])
            except OSError as error:
                raise _refusal(error, what) from error
    finally:
        os.close(root)
    return links


def _link_tracepoint(program: int, number: int) -> int:
    event = bpfcall.open_tracepoint(number)
    try:
        return bpfcall.link(program, event, bpfcall.PERF_EVENT)
    finally:
        os.close(event)


def _hold_tracepoint(program: int, number: int) -> int:
    """Attach the way before links: for as long as the event is open, which cannot be pinned. The program can."""
    event = bpfcall.open_tracepoint(number)
    try:
        bpfcall.set_event_program(event, program)
    except OSError:
        os.close(event)
        raise
    return event


def attach(options: Options) -> Attached:
    """Adopt the running programs of this instance, or load, attach and pin them. Raises ``errors.KernelRefused``."""
    if missing := missing_rights(pathlib.Path("/proc/self/status").read_text(encoding="ascii")):
        raise errors.KernelRefused(
            f"cannot load bpf/*.c: this process has no {', '.join(missing)}",
            hint="the agent needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; see: ipseity check",
        )
    pins.ensure_mounted(options.bpffs)
    _ensure_tracefs(options.tracefs)
    chosen = plan(options, os.uname().release)
    base = pins.home(options.bpffs, options.instance)
    folder = base / f"{wire.ABI_VERSION}-{pins.digest(loader.source(), chosen.defines, chosen.programs)}"
    try:
        root_id = options.cgroup_root.stat().st_ino
    except OSError as error:
        raise _refusal(error, f"open cgroup root {options.cgroup_root}") from error
    lock = pins.lock(base)
    try:
        held = _adopted(folder, chosen, root_id)
        former: list[int] = []
        adopted = held is not None
        if held is None:
            held, former = _fresh(folder, chosen, options.cgroup_root)
        pins.remove_instance(options.bpffs, options.instance, but=folder.name)
    except BaseException:
        os.close(lock)
        raise
    return Attached(
        descriptors=held.descriptors,
        programs=chosen.programs,
        missing=chosen.missing,
        adopted=adopted,
        former_edges=tuple(former),
        lock=lock,
        folder=folder,
        pinned=held.pinned,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """Descriptors of maps and links, and of what is pinned."""

    descriptors: dict[str, int]
    pinned: dict[str, int]


def _adopted(folder: pathlib.Path, chosen: Plan, root_id: int) -> _Held | None:
    """Open what a former agent pinned; None unless it is complete and still attached to the cgroup that is meant."""
    pinned = pins.adopt(folder, [*loader.MAPS, *chosen.links])
    if pinned is None:
        return None
    if all(bpfcall.link_cgroup(pinned[f"link_{program}"]) == root_id for program in chosen.hooks):
        return _Held(_held_again(chosen, pinned), pinned)
    for fd in pinned.values():
        os.close(fd)
    return None


def _held_again(chosen: Plan, pinned: Mapping[str, int]) -> dict[str, int]:
    """Attach tracepoint programs anew where they have no links: what is pinned are the programs themselves."""
    if chosen.tracepoint_links:
        return dict(pinned)
    numbers = {f"link_{program}": number for program, number in chosen.tracepoints.items()}
    return {**pinned, **{link: _hold_tracepoint(pinned[link], number) for link, number in numbers.items()}}


def _fresh(folder: pathlib.Path, chosen: Plan, cgroup: pathlib.Path) -> tuple[_Held, list[int]]:
    """Load, then detach what was there before, then attach: nothing is counted by both, and a refusal changes nothing.

    Returns descriptors, and tables of edges that nobody adds to any more.
    """
    descriptors = loading.load({"kernel": chosen.version, "defines": dict(chosen.defines), "programs": chosen.programs})
    former = pins.retire(folder.parent, wire.ABI_VERSION)
    links = _attach(chosen, descriptors, cgroup)
    maps = {name: descriptors[name] for name in loader.MAPS}
    pinned = {**maps, **links}
    if not chosen.tracepoint_links:
        pinned |= {f"link_{program}": descriptors[program] for program in chosen.tracepoints}
    try:
        pins.complete(folder, pinned)
    except OSError as error:
        pins.remove(folder)
        raise _refusal(error, f"pin the maps in {folder}") from error
    for fd in {descriptors[program] for program in chosen.programs} - set(pinned.values()):
        os.close(fd)
    return _Held({**maps, **links}, pinned), former


def pin_again(attached: Attached, options: Options) -> tuple[list[str], int]:
    """Put back pins that somebody has removed: the next agent is to adopt what runs. Raises errors.KernelRefused.

    Returns what was missing, and the lock, which is another one if the folder went with them.
    """
    pins.ensure_mounted(options.bpffs)
    try:
        lock = pins.lock_again(attached.folder.parent, attached.lock)
        return pins.complete(attached.folder, attached.pinned), lock
    except OSError as error:
        raise _refusal(error, f"pin the maps in {attached.folder}") from error


def _ensure_tracefs(tracefs: pathlib.Path) -> None:
    """Mount tracefs if it is missing; where that is refused the agent goes on with less (``Kernel.missing``)."""
    if not (tracefs / "events").is_dir():
        try:
            bpfcall.mount("tracefs", str(tracefs))
        except OSError:
            return


def cleanup(bpffs: pathlib.Path, instance: str) -> list[str]:
    """Remove every pin of ``instance``: its programs are detached and its maps freed. Returns the paths removed.

    Raises errors.KernelRefused while an agent of it is running.
    """
    home = pins.home(bpffs, instance)
    if not home.is_dir():
        return []
    lock = pins.lock(home)
    try:
        return pins.remove_instance(bpffs, instance)
    finally:
        os.close(lock)
