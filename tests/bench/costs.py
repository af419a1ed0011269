"""What watching takes: kernel time of our programs, processor time and memory of the process, memory of the maps."""

import contextlib
import ctypes
import os
import pathlib
import struct
from collections.abc import Iterator

from agent import bpfcall

STATS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
PINS = pathlib.Path("/sys/fs/bpf/ipseity")
_PROGRAM_LOAD = 5
_PROGRAM_BY_ID = 13  # enum bpf_cmd: BPF_PROG_GET_FD_BY_ID
_EMPTY = {
    "sock_ops": (13, bpfcall.CGROUP_SOCK_OPS),
    "cgroup_skb": (8, bpfcall.CGROUP_INET_INGRESS),
    "cgroup_skb_egress": (8, bpfcall.CGROUP_INET_EGRESS),
}
"""enum bpf_prog_type and bpf_attach_type of each hook that our programs are attached to."""
_RUN_TIME, _RUN_COUNT = "run_time_ns", "run_cnt"


@contextlib.contextmanager
def kernel_statistics() -> Iterator[None]:
    """Have the kernel time every run of a program. That itself costs, so never while rates are measured."""
    before = STATS.read_text()
    STATS.write_text("1")
    try:
        yield
    finally:
        STATS.write_text(before)


def pins(instance: str, prefix: str = "") -> list[pathlib.Path]:
    """List what an agent pinned."""
    return [path for path in sorted((PINS / instance).glob("*/*")) if path.name.startswith(prefix)]


def kernel_time_ns(instance: str) -> dict[str, tuple[int, int]]:
    """Read run time and number of runs of each program of an instance, through its pinned links."""
    found = {}
    for path in pins(instance, "link_"):
        link = bpfcall.unpinned(str(path))
        (program_id,) = struct.unpack_from("=I", bpfcall.info(link), 8)  # struct bpf_link_info.prog_id
        program = bpfcall._bpf(_PROGRAM_BY_ID, struct.pack("=III", program_id, 0, 0))
        found[path.name.removeprefix("link_")] = program_time_ns(program)
        os.close(program)
        os.close(link)
    return found


@contextlib.contextmanager
def empty_programs(cgroup: pathlib.Path) -> Iterator[dict[str, int]]:
    """Attach programs that only say "go on" beside ours: what they cost is the kernel's way there and its timing.

    Gives their descriptors by kind.
    """
    root = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    programs, links = {}, []
    try:
        for kind, (program_type, attach_type) in _EMPTY.items():
            programs[kind] = _load_empty(program_type, attach_type)
            links.append(bpfcall.link(programs[kind], root, attach_type))
        yield programs
    finally:
        for fd in (*links, *programs.values(), root):
            os.close(fd)


def _load_empty(program_type: int, attach_type: int) -> int:
    """Load "return 1": mov r0, 1; exit."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"Dual BSD/GPL")
    head = struct.pack("=IIQQ", program_type, 2, ctypes.addressof(code), ctypes.addressof(licence))
    return bpfcall._bpf(_PROGRAM_LOAD, head.ljust(68, b"\0") + struct.pack("=I", attach_type))


def program_time_ns(program: int) -> tuple[int, int]:
    """Read run time and number of runs of one program."""
    told = descriptor(program)
    return int(told[_RUN_TIME]), int(told[_RUN_COUNT])


def map_memory_bytes(instance: str) -> int:
    """Add up what the kernel charges for the maps of an instance."""
    total = 0
    for path in pins(instance):
        if not path.name.startswith("link_"):
            fd = bpfcall.unpinned(str(path))
            total += int(descriptor(fd).get("memlock", "0"))
            os.close(fd)
    return total


def descriptor(fd: int) -> dict[str, str]:
    """Read what /proc tells of a descriptor of ours."""
    lines = pathlib.Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processor_s(pid: int) -> float:
    """Read how much processor time a process has used, user and system (fields 14 and 15 of stat)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Read the resident memory of a process and its children."""
    total = 0
    for one in (pid, *children(pid)):
        for line in pathlib.Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def children(pid: int) -> list[int]:
    """List the direct children of a process."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
