"""Stalls. Left out: that the informer beats (test_informer.py)."""

from ipseity import pulse

S = 10**9


def test_what_is_read_in_time_is_news_of_now() -> None:
    """While it beats, nothing has waited."""
    heart = pulse.Pulse(100 * S)
    heart.beat(100 * S + S // 4)
    assert 100 * S + S // 2 == heart.since(100 * S + S // 2)


def test_what_is_read_after_a_stall_may_be_as_old_as_the_stall() -> None:
    """Whichever comes first afterwards, the beat or the line; and only for as long as a backlog lasts."""
    for beats_first in (False, True):
        heart = pulse.Pulse(100 * S)
        if beats_first:
            heart.beat(120 * S)
        assert 100 * S == heart.since(120 * S)
        heart.beat(121 * S)
        assert 100 * S == heart.since(121 * S)
        heart.beat(122 * S)
        heart.beat(123 * S)
        assert 123 * S == heart.since(123 * S)
