"""Identities in handshakes hold on Linux 5.10, 6.1, 6.12 and the kernel that runs here: told, and not forged.

Both ends of 23 connections each way of establishing one; 101 of every kind of forgery; 101 connections to every kind of
peer and over every kind of path (``tests.kernels.told``). Debian's stock kernels in software emulation.
"""

import os
import time

from tests.kernels import __main__ as kernels
from tests.kernels import debian, machine
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Boot every kernel; each is printed as soon as it is there."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("programs cannot be loaded without root", hint="run it with sudo")
    machines = debian.machines()
    reports = [kernels.show(kernels.here(), time.monotonic())]
    for kernel in machines.kernels:
        booted_s = time.monotonic()
        reports.append(kernels.show(machine.boot(kernel, machines.disk), booted_s))
    held = [found for found in reports if found.handshakes_hold]
    known, ends = (sum(found.told.get(name, 0) for found in reports) for name in ("ends_known", "ends"))
    return verdict.Verdict(
        holds=len(held) == len(reports),
        figure=f"{len(held)} of {len(reports)} kernels; {known} of {ends} ends know each other by the handshake",
    )
