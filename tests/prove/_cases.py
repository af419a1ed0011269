"""Claims that are tests: run exactly those, and say how each came out. A case that did not run is a failure."""

import re
import subprocess
import sys
from collections.abc import Mapping

from tests.prove import verdict
from tests.scene import clone


def prove(cases: Mapping[str, str], of: str, *flags: str) -> verdict.Verdict:
    """Run cases (what is claimed -> what pytest is given); ``of`` says what they are kinds of."""
    lines, passed = [], 0
    for what, case in cases.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, case],
            cwd=clone.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        ran = re.search(r"(\d+) passed", done.stdout)
        holds = done.returncode == 0 and ran is not None and "skipped" not in done.stdout
        passed += holds
        lines.append(f"{what:34} {'holds' if holds else 'FAILS'}  {ran[0] if ran else 'nothing ran'}  {case}")
        if not holds:
            print(done.stdout[-4000:], done.stderr[-2000:], flush=True)
    return verdict.Verdict(
        holds=passed == len(cases), figure=f"{passed} of {len(cases)} kinds of {of}", lines=tuple(lines)
    )
