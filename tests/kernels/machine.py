"""One emulated machine: boot a kernel, run the payload in it, bring its report back over the serial line.

The payload travels in the initramfs, so the disk is never written: QEMU throws its changes away.
"""

import pathlib
import shutil
import subprocess
import tempfile

from tests.kernels import debian, report
from tests.scene import clone

BOOT_LIMIT_S = 900
"""Arbitrary: ten times what it takes on two idle cores."""
CARRIED = (
    "agent",
    "bpf",
    "ipseity",
    "tests/__init__.py",
    "tests/kernels",
    "tests/prove",
    "tests/scene",
    "tests/traffic",
)
"""What of this repository is inside."""


def boot(kernel: debian.Kernel, disk: pathlib.Path) -> report.Report:
    """Run the payload on this kernel."""
    with tempfile.TemporaryDirectory(prefix="ipseity-kernel-") as name:
        initramfs = pathlib.Path(name) / "initramfs"
        pack_payload(initramfs, kernel.initramfs)
        console = emulate(kernel.image, initramfs, disk)
    return report.from_console(console, kernel.version)


def pack_payload(target: pathlib.Path, base: pathlib.Path) -> None:
    """Join the kernel's initramfs and the repository's files as they are now, committed or not."""
    tree = target.with_suffix(".tree")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *CARRIED]
    names = subprocess.run(listing, cwd=clone.ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        if (clone.ROOT / name).exists():
            (tree / "payload" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clone.ROOT / name, tree / "payload" / name)
    packed = target.with_suffix(".payload")
    debian.pack(tree, packed)
    target.write_bytes(base.read_bytes() + packed.read_bytes())


def emulate(image: pathlib.Path, initramfs: pathlib.Path, disk: pathlib.Path) -> str:
    """Everything that the machine wrote to its serial line until it switched itself off."""
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2048", "-smp", "2"]
    command += ["-nographic", "-no-reboot", "-nic", "none", "-kernel", str(image), "-initrd", str(initramfs)]
    command += ["-drive", f"file={disk},if=virtio,format=raw,snapshot=on"]
    command += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=BOOT_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace")
    return (done.stdout + done.stderr).decode(errors="replace")
