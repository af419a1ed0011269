"""`make demo` in a fresh clone: live flows with names and evidence in 5 minutes, 60 s the second time; bytes equal.

The first run includes everything that is to be installed on this machine. Exit status 0 of the demo itself says that
every name and every byte was right and that nothing was left behind.
"""

import os

from tests.prove import verdict
from tests.scene import clone

FIRST_LIMIT_S = 300
SECOND_LIMIT_S = 60


def prove() -> verdict.Verdict:
    """Run it twice as a newcomer would."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("make demo needs root", hint="run it with sudo")
    with clone.fresh() as mine:
        first, second = mine.make("demo"), mine.make("demo")
    agreed = next((line for line in second.output.splitlines() if line.startswith("bytes agree")), second.last_line)
    right = first.status == second.status == 0
    return verdict.Verdict(
        holds=right and first.took_s <= FIRST_LIMIT_S and second.took_s <= SECOND_LIMIT_S,
        figure=f"first run {first.took_s:.0f} s of {FIRST_LIMIT_S}, second {second.took_s:.0f} s of {SECOND_LIMIT_S}: "
        f"{agreed}",
        lines=(
            f"uncommitted here, so not in the clone: {len(clone.uncommitted())} paths",
            f"exit status {first.status}, then {second.status}; what the second run printed:",
            *second.output.splitlines(),
        ),
    )
