"""The programs load, name 46 of 46 ends and count every byte on Linux 5.10, 6.1, 6.12 and the kernel that runs here.

The first three are Debian's stock kernels in software emulation; see ``tests.kernels`` and docs/kernels.md.
"""

import subprocess

from tests.prove import verdict
from tests.scene import clone

MISSING_NEEDS = 2
"""Exit status of ``make`` and of our programs where they could not even begin."""


def prove() -> verdict.Verdict:
    """Run ``make kernels``, which also sets up what it needs."""
    made = subprocess.run(["make", "kernels"], cwd=clone.ROOT, check=False, stdout=subprocess.PIPE, text=True)
    *lines, last = made.stdout.strip().splitlines() or [""]
    if made.returncode == MISSING_NEEDS and not last.endswith("counted"):
        raise verdict.CannotMeasure(
            "make kernels could not run", hint="see what it said above; it needs root and Debian's packages"
        )
    return verdict.Verdict(holds=made.returncode == 0, figure=last, lines=tuple(lines))
