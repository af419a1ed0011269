"""What the agent needs of a machine, judged from plain facts.

Here because ``ipseity check`` must say what is missing before the kernel does, in words that lead somewhere, and rules
on values can be tested for kernels and containers that are not at hand. Leaves out where the facts come from
(``checks``) and what the agent does without (docs/kernels.md).
"""

import dataclasses
import re
from collections.abc import Collection
from typing import Final

from ipseity import findings

Status = findings.Status
Finding = findings.Finding

FLOOR: Final = (5, 10)
_MEMCG: Final = (5, 11)
"""From here BPF memory is charged to the cgroup; before, RLIMIT_MEMLOCK bounds it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What kernels before ``since`` do not have."""

    since: tuple[int, int]
    what: str
    consequence: str


LACKS: Final = (
    Lack(
        since=_MEMCG,
        what="accounting of BPF memory by cgroup",
        consequence="RLIMIT_MEMLOCK bounds the tables",
    ),
    Lack(
        since=(5, 14),
        what="sock:inet_sk_error_report",
        consequence="time-outs are told by retransmission counts, unreachable counts as other",
    ),
    Lack(
        since=(5, 15),
        what="pins of tracepoint programs",
        consequence="while the agent restarts, resets count as other and new cgroups are found by scanning",
    ),
)
"""In the order of kernel versions; docs/kernels.md has the same for people."""

TRACEPOINTS: Final = {
    "sock/inet_sk_error_report": "why connections fail is told by retransmission counts",
    "tcp/tcp_receive_reset": "resets count as other",
    "cgroup/cgroup_mkdir": "cgroups are found by scanning: pods that live for milliseconds may stay unknown",
    "cgroup/cgroup_rmdir": "that a cgroup is gone is found by scanning",
}
"""What the agent listens to, and what it does without where one is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One of capabilities(7)."""

    bit: int
    name: str
    purpose: str
    required: bool


_ADMIN_BIT: Final = 21
_IMPLIED_BY_ADMIN: Final = frozenset({38, 39})
"""CAP_PERFMON and CAP_BPF are parts of what CAP_SYS_ADMIN allows (kernel: ``bpf_capable``, ``perfmon_capable``)."""
CAPABILITIES: Final = (
    Capability(bit=39, name="BPF", purpose="load programs and tables", required=True),
    Capability(bit=38, name="PERFMON", purpose="load programs on tracepoints", required=True),
    Capability(bit=12, name="NET_ADMIN", purpose="attach programs to cgroups", required=True),
    Capability(bit=19, name="SYS_PTRACE", purpose="find the network namespaces of other processes", required=False),
    Capability(bit=2, name="DAC_READ_SEARCH", purpose="read every cgroup directory", required=False),
    Capability(
        bit=_ADMIN_BIT,
        name="SYS_ADMIN",
        purpose="enter pods' network namespaces, for sockets older than the agent, and mount bpffs and tracefs",
        required=False,
    ),
)


def kernel(release: str) -> Finding:
    """Judge ``uname -r``."""
    version = kernel_version(release)
    if version < FLOOR:
        hint = "Linux 5.10 is the floor: the owner of a socket cannot be recorded before it; see docs/kernels.md"
        return Finding(name="kernel", status=Status.FAIL, text=f"{release}: older than 5.10", hint=hint)
    missing = [lack for lack in LACKS if version < lack.since]
    if not missing:
        return Finding(name="kernel", status=Status.OK, text=f"{release}; nothing is missing")
    text = "; ".join(f"no {lack.what} ({lack.since[0]}.{lack.since[1]}): {lack.consequence}" for lack in missing)
    return Finding(name="kernel", status=Status.WARN, text=f"{release}: {text}", hint="see docs/kernels.md")


def kernel_version(release: str) -> tuple[int, int]:
    """Read the first two numbers of ``uname -r``; (0, 0) where there are none."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def memory_limit(release: str, soft_limit: int | None, *, may_raise: bool) -> Finding | None:
    """Judge RLIMIT_MEMLOCK (None: unlimited), which matters on old kernels alone."""
    if kernel_version(release) >= _MEMCG:
        return None
    if soft_limit is None or may_raise:
        return Finding(name="memory lock", status=Status.OK, text="not limited, or may be raised")
    return Finding(
        name="memory lock",
        status=Status.FAIL,
        text=f"RLIMIT_MEMLOCK is {soft_limit} bytes: too little for the tables of a kernel before 5.11",
        hint="start the agent with ulimit -l unlimited (systemd: LimitMEMLOCK=infinity), or with CAP_SYS_RESOURCE",
    )


def capabilities(effective: int) -> Finding:
    """Judge the effective set (``CapEff`` of /proc/self/status)."""
    missing = [each for each in CAPABILITIES if not _has(effective, each.bit)]
    if not missing:
        return Finding(name="capabilities", status=Status.OK, text=", ".join(each.name for each in CAPABILITIES))
    text = "; ".join(f"no {each.name}: needed to {each.purpose}" for each in missing)
    names = ", ".join(each.name for each in missing)
    return Finding(
        name="capabilities",
        status=Status.FAIL if any(each.required for each in missing) else Status.WARN,
        text=text,
        hint=f"run as root, or add to the container's securityContext.capabilities: {names}",
    )


def _has(effective: int, bit: int) -> bool:
    is_admin = bool(effective >> _ADMIN_BIT & 1)
    return bool(effective >> bit & 1) or (is_admin and bit in _IMPLIED_BY_ADMIN)


def tracepoints(present: Collection[str], *, mounted: bool, path: str) -> Finding:
    """Judge which tracepoints there are."""
    if not mounted:
        return Finding(
            name="tracefs",
            status=Status.WARN,
            text=f"nothing is mounted at {path}; the agent mounts it if it may",
            hint=f"mount -t tracefs tracefs {path}",
        )
    missing = {name: lost for name, lost in TRACEPOINTS.items() if name not in present}
    if not missing:
        return Finding(
            name="tracefs", status=Status.OK, text=f"{path}, {len(TRACEPOINTS)} of {len(TRACEPOINTS)} tracepoints"
        )
    text = "; ".join(f"no {name}: {lost}" for name, lost in missing.items())
    return Finding(name="tracefs", status=Status.WARN, text=text, hint="a newer kernel has them; see docs/kernels.md")


def cgroup2(path: str, *, is_own_namespace: bool, is_whole_tree: bool) -> Finding:
    """Judge the cgroup2 directory that the agent would watch."""
    if is_own_namespace and is_whole_tree:
        return Finding(
            name="cgroup2",
            status=Status.WARN,
            text=f"{path} is the root of a cgroup namespace, not the machine's: other pods are not below it",
            hint="mount the host's /sys/fs/cgroup into the container and give --cgroup-root",
        )
    return Finding(name="cgroup2", status=Status.OK, text=path)


def bpffs(path: str, *, mounted: bool, may_mount: bool) -> Finding:
    """Judge the BPF file system."""
    if mounted:
        return Finding(name="bpffs", status=Status.OK, text=path)
    if may_mount:
        return Finding(name="bpffs", status=Status.OK, text=f"not mounted at {path} yet; the agent mounts it")
    return Finding(
        name="bpffs",
        status=Status.FAIL,
        text=f"not mounted at {path}, and mounting it needs CAP_SYS_ADMIN",
        hint=f"mount -t bpf bpf {path}, on the host; mount the host's into the container",
    )
