"""Bad input is counted or refused with a hint, and the agent lives: table, ring, watch, cgroup, disk, rights, program.

The cases are tests; this runs exactly those and says how many there were. A case that did not run is a failure.
"""

from tests.prove import _cases, verdict

REAL = "tests/functional/agent/test_bad_input.py"
CASES = {
    "a table that is full": f"{REAL}::test_a_full_table_is_counted_and_the_agent_lives",
    "a ring that overflows": f"{REAL}::test_a_full_ring_is_counted_and_counters_do_not_need_it",
    "a missing capability": f"{REAL}::test_missing_rights_end_the_start_with_a_hint",
    "a kernel that refuses": f"{REAL}::test_a_kernel_that_refuses_a_program_is_said",
    "a kernel record of another length": f"{REAL}::test_records_of_another_length_are_counted",
    "a reader that stops reading": f"{REAL}::test_a_reader_of_the_api_that_stops_reading_costs_nothing",
    "a flow-log disk that is full": "tests/functional/agent/test_full_disk.py",
    "a malformed watch event": "tests/unit/ipseity/test_informer.py",
    "an unreadable cgroup": "tests/unit/agent/test_cgroups.py",
}


def prove() -> verdict.Verdict:
    """Run every case."""
    return _cases.prove(CASES, "bad input")
