"""Which capabilities a container has, of those that this machine can give.

Here because they decide what a pod can do to its neighbours, and because a machine may lack some of what a pod asks
for.
"""

import pathlib
from typing import Any

from comparisons.lab import errors

Json = dict[str, Any]
# fmt: off
USUAL = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))
"""What containerd gives a container that asks for nothing (containerd: pkg/oci/spec.go, defaultUnixCaps)."""
ALL = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)
"""In the order of their bits (include/uapi/linux/capability.h)."""
# fmt: on


def available(status: pathlib.Path = pathlib.Path("/proc/self/status")) -> frozenset[str]:
    """Tell what this process may hand on, by name without CAP_."""
    mask = int(status.read_text().partition("CapBnd:")[2].split()[0], 16)
    return frozenset(name for bit, name in enumerate(ALL) if mask >> bit & 1)


def granted(security: Json, available: frozenset[str]) -> frozenset[str]:
    """Which capabilities a container has, by name without CAP_."""
    if security.get("privileged"):
        return available
    asked = security.get("capabilities") or {}
    added = {name.upper().removeprefix("CAP_") for name in asked.get("add") or ()}
    dropped = {name.upper().removeprefix("CAP_") for name in asked.get("drop") or ()}
    start = frozenset() if "ALL" in dropped else available if "ALL" in added else USUAL
    missing = added - {"ALL"} - available
    if missing:
        raise errors.PodRefused(
            f"this machine cannot give the capabilities {', '.join(sorted(missing))}",
            reason="CreateContainerConfigError",
        )
    return (start - dropped | (added - {"ALL"})) & available
