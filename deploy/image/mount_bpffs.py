"""Mount a BPF file system at a directory, unless there is one.

Here because some nodes (kind) have none, and pins must outlive the agent's pod: run with mount propagation both ways,
the mount is the node's. Nothing else is done with the rights that this takes.

    python mount_bpffs.py /sys/fs/bpf
"""

# ruff: noqa: INP001  # programs of an image, not a package

import ctypes
import os
import pathlib
import sys


def mounted(path: str) -> bool:
    """Tell whether a BPF file system is mounted there."""
    rows = (line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
    return any(row[4] == path and row[row.index("-") + 1] == "bpf" for row in rows)


def main(path: str) -> int:
    """Do it; returns the exit status."""
    if mounted(path):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(path), b"bpf", ctypes.c_ulong(0), b"mode=0700") != 0:
        sys.stderr.write(f"cannot mount a BPF file system at {path}: {os.strerror(ctypes.get_errno())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
