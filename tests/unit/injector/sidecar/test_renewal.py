"""When certificates are asked for. Leaves out that a child process does it: functional tests."""

import hypothesis
import pytest
from hypothesis import strategies as st

from injector.sidecar import renewal

CHANCE = st.floats(min_value=0, max_value=1, exclude_max=True)
DAY_S = 86_400.0


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.65), (0.5, 0.70)])
def test_it_renews_at_seventy_percent_of_a_life(chance: float, share: float) -> None:
    """Give or take five."""
    assert 1000 + share * DAY_S == pytest.approx(renewal.after_success(1000, renewal.Certificate(0, DAY_S), chance))


def test_an_adopted_certificate_is_renewed_when_it_would_have_been() -> None:
    """Its age counts; one that is over the time is due at once."""
    assert 1000 + 0.2 * DAY_S == pytest.approx(
        renewal.after_success(1000, renewal.Certificate(0.5 * DAY_S, 0.5 * DAY_S), 0.5)
    )
    assert 1000 == renewal.after_success(1000, renewal.Certificate(0.9 * DAY_S, 0.1 * DAY_S), 0.5)


def test_a_life_of_seconds_is_no_storm() -> None:
    """At least five seconds between two certificates."""
    assert 1005 == renewal.after_success(1000, renewal.Certificate(0, 1), 0.5)


def test_the_delay_doubles_and_has_an_end() -> None:
    """Ten seconds while a pod waits for its first one, a minute later."""
    first = [renewal.after_failure(0, n, None, 0.999_999) for n in (1, 2, 3, 4, 5, 50)]
    assert [1, 2, 4, 8, 10, 10] == [round(delay, 3) for delay in first]
    later = [renewal.after_failure(0, n, DAY_S, 0.999_999) for n in (1, 6, 7, 5000)]
    assert [1, 32, 60, 60] == [round(delay, 3) for delay in later]


def test_attempts_come_closer_together_as_the_end_nears() -> None:
    """A tenth of what is left, but not more often than each second; and after the end it goes on."""
    assert 10 == round(renewal.after_failure(0, 9, 100, 0.999_999), 3)
    assert 1 == round(renewal.after_failure(0, 9, 3, 0.999_999), 3)
    assert 1 == round(renewal.after_failure(0, 9, 0, 0.999_999), 3)


@hypothesis.given(st.integers(1, 10**6), st.none() | st.floats(0, 1e7), CHANCE)
def test_a_delay_is_never_nothing_and_never_long(failures: int, left_s: float | None, chance: float) -> None:
    """Half a second to a minute."""
    assert 0.5 <= renewal.after_failure(0, failures, left_s, chance) <= 60


@hypothesis.given(st.floats(0, 1e6), st.floats(0, 1e6), CHANCE)
def test_new_anchors_never_make_it_later(due_s: float, left_s: float, chance: float) -> None:
    """Within a minute, or a tenth of what is left; what was due sooner stays."""
    assert renewal.after_new_trust(0, due_s, left_s, chance) <= min(due_s, 60, left_s / 10)
