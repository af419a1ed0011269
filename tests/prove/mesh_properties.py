"""Thousands of generated reviews, requests for certificates and clusters: no crash, no bad patch, no unproven identity.

The properties are tests; this runs exactly those, with more examples, and says how many there were. A property that
did not run is a failure.
"""

import re
import subprocess
import sys

from tests.prove import verdict
from tests.scene import clone

EXAMPLES = 10_000
"""Of each property, in the profile ``thorough`` (tests/conftest.py)."""
CLUSTERS = 500
CASES = {
    "admission reviews": ("tests/sim/injector/test_admission.py", EXAMPLES),
    "certificate requests": ("tests/sim/injector/test_csr.py", EXAMPLES),
    "policies": ("tests/sim/injector/test_policy.py", EXAMPLES),
    "clusters before a real Envoy": ("tests/sim/injector/test_snapshots.py", CLUSTERS),
}


def prove() -> verdict.Verdict:
    """Run every property."""
    lines, passed = [], 0
    for what, (case, examples) in CASES.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "thorough", case],
            cwd=clone.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        ran = re.search(r"(\d+) passed", done.stdout)
        holds = done.returncode == 0 and ran is not None and "skipped" not in done.stdout
        passed += holds
        lines.append(f"{what:32} {'holds' if holds else 'FAILS'}  {ran[0] if ran else 'nothing ran'}  {examples} each")
        if not holds:
            print(done.stdout[-4000:], done.stderr[-2000:], flush=True)
    return verdict.Verdict(
        holds=passed == len(CASES), figure=f"{passed} of {len(CASES)} kinds of input", lines=tuple(lines)
    )
