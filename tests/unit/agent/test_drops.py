"""What was lost is counted always and said once. Left out: how it is shown (test_metrics)."""

import pytest
from structlog import testing

from agent import drops


def test_a_stage_is_listed_from_its_first_count() -> None:
    """Also with nothing lost: a monitor wants the series to be there."""
    lost = drops.Drops()
    lost.count("record_malformed", 0)
    lost.count("tick_failed")
    lost.count("tick_failed", 6)
    assert {"record_malformed": 0, "tick_failed": 7} == lost.by_stage


@pytest.mark.parametrize(("over", "expected"), [(False, 1), (True, 2)])
def test_what_is_said_is_said_once_until_it_is_over(*, over: bool, expected: int) -> None:
    """With its fields; each thing for itself."""
    lost = drops.Drops()
    with testing.capture_logs() as said:
        lost.say("sweep", "cannot look", count=3)
        lost.say("sweep", "cannot look", count=5)
        if over:
            lost.over("sweep")
        lost.say("sweep", "cannot look", count=7)
        lost.say("checkpoint", "cannot write")
    assert [3, 7][:expected] == [line["count"] for line in said if "count" in line]
    assert expected + 1 == len(said)
    assert {"warning"} == {line["log_level"] for line in said}


def test_what_was_never_said_may_be_over() -> None:
    """A success tells nobody."""
    drops.Drops().over("checkpoint")
