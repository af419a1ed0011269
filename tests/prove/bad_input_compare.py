"""A comparison that cannot go on says why and leaves nothing: broken TOML, missing tool, killed half-way, full disk.

The cases are tests; this runs exactly those and says how many there were. A case that did not run is a failure.
"""

from tests.prove import _cases, verdict

REAL = "tests/functional/comparisons/test_bad_input.py"
PURE = "tests/unit/comparisons"
CASES = {
    "broken TOML": f"{PURE}/test_scenarios.py::test_a_broken_file_is_named_with_a_hint",
    "a drive that is not there": f"{PURE}/test_scenarios.py::test_a_drive_that_is_not_there_is_named",
    "results that are no results": f"{PURE}/test_results.py::test_a_file_that_does_not_fit_is_refused_by_name",
    "wrong words": f"{REAL}::test_wrong_words_are_named",
    "a missing tool": f"{REAL}::test_a_missing_tool_is_named_before_anything_is_made",
    "killed half-way": f"{REAL}::test_killed_half_way_it_leaves_no_lab_and_no_report_and_goes_on",
    "a full disk": f"{REAL}::test_a_full_disk_is_said_and_leaves_nothing_that_looks_whole",
}


def prove() -> verdict.Verdict:
    """Run every case."""
    return _cases.prove(CASES, "bad input")
