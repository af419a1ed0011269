"""`make test` passes from a fresh clone within 15 minutes as root, and `make check` within 60 s without root.

The time of `make test` includes its set-up (Debian packages, virtual environment); that of `make check` begins when
these are there, with cold caches, in a clone of its own that belongs to an unprivileged user.
"""

import os

from tests.prove import verdict
from tests.scene import clone

TEST_LIMIT_S = 15 * 60
CHECK_LIMIT_S = 60


def prove() -> verdict.Verdict:
    """Run both as a newcomer would."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("make test needs root", hint="run it with sudo")
    with clone.fresh() as mine:
        test = mine.make("test")
    with clone.fresh(uid=clone.NOBODY) as theirs:
        ready = theirs.make(".venv/.ready")
        check = theirs.make("check")
    for made in (test, ready, check):
        if made.status != 0:
            print(made.output, flush=True)
    as_nobody = f"as uid {theirs.uid}, set up before in {ready.took_s:.0f} s"
    return verdict.Verdict(
        holds=test.status == 0 and test.took_s <= TEST_LIMIT_S and check.status == 0 and check.took_s <= CHECK_LIMIT_S,
        figure=f"make test {test.took_s:.0f} s of {TEST_LIMIT_S}, make check {check.took_s:.0f} s of {CHECK_LIMIT_S}",
        lines=(
            f"uncommitted here, so not in the clones: {len(clone.uncommitted())} paths",
            f"make test as root, set-up included: exit status {test.status}: {test.last_line}",
            f"make check {as_nobody}: exit status {check.status}: {check.last_line}",
        ),
    )
