"""Thousands of generated reviews, requests for certificates and clusters: no crash, no bad patch, no unproven identity.

The properties are tests; this runs exactly those, with more examples, and says how many there were. A property that
did not run is a failure.
"""

from tests.prove import _cases, verdict

CASES = {
    "admission reviews": "tests/sim/injector/test_admission.py",
    "certificate requests": "tests/sim/injector/test_csr.py",
    "policies": "tests/sim/injector/test_policy.py",
    "500 clusters before a real Envoy": "tests/sim/injector/test_snapshots.py",
}


def prove() -> verdict.Verdict:
    """Run every property, with 10,000 examples: the profile ``thorough`` (tests/conftest.py)."""
    return _cases.prove(CASES, "input", "--hypothesis-profile", "thorough")
