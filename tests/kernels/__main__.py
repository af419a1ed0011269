"""``make kernels``: the payload on every kernel, as a table. Exit status 0: it holds on all of them, 1: it does not."""

import os
import subprocess
import sys
import time

from tests.kernels import debian, machine, report
from tests.scene import clone, room


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("kernels: error: programs cannot be loaded without root\nhint: run it with sudo", file=sys.stderr)
        return 2
    started_s = time.monotonic()
    machines = debian.machines()
    print(f"set-up: {time.monotonic() - started_s:.0f} s", flush=True)
    reports = [show(here(), started_s)]
    for kernel in machines.kernels:
        booted_s = time.monotonic()
        reports.append(show(machine.boot(kernel, machines.disk), booted_s))
    held = sum(found.holds for found in reports)
    print(f"{held} of {len(reports)} kernels: every end named and told, no forgery believed, every byte counted")
    return 0 if held == len(reports) else 1


def here() -> report.Report:
    """Run the payload on the kernel that we are on."""
    done = subprocess.run(
        room.python("tests.kernels.payload"), cwd=clone.ROOT, check=False, capture_output=True, text=True
    )
    return report.from_console(done.stdout + done.stderr, os.uname().release)


def show(found: report.Report, started_s: float) -> report.Report:
    """Print a kernel's row as soon as it is there."""
    seen, expected = sum(found.bytes_seen.values()), sum(found.bytes_expected.values())
    missing = [hook for hook, there in found.hooks.items() if not there]
    took_s = time.monotonic() - started_s
    print(
        f"{found.kernel:28}  {'ok  ' if found.holds else 'FAIL'}  ends {found.ends_right} of {found.ends_expected}  "
        f"bytes {seen} of {expected}  missing hooks: {', '.join(missing) or 'none'}  ({took_s:.0f} s)",
        flush=True,
    )
    if found.told:
        print(
            "    handshakes: {ends_known} of {ends} ends know each other; {believed} of {forged} forgeries believed; "
            "{failed} of {connected} connections failed".format_map(found.told),
            flush=True,
        )
    for line in (*found.differences, found.problem):
        if line:
            print(f"    {line}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
