"""Since when news may be true. Left out: stalls (``test_pulse``), an API server (``test_informer_since``)."""

from ipseity import since

S = 10**9


def beaten(*, told: int = 0, up_to: int) -> since.Since:
    """Be alive all the time, with a watch that was opened at the end."""
    made = since.Since(told * S, 0)
    for quarters in range(4 * up_to):
        made.beat(quarters * S // 4)
    made.opened(up_to * S)
    return made


def later(of: since.Since, start: int, end: int) -> None:
    for quarters in range(4 * start, 4 * end):
        of.beat(quarters * S // 4)


def test_what_is_read_after_two_seconds_is_news_of_now() -> None:
    """Before, it may have been missed since the last word."""
    known = beaten(told=40, up_to=100)
    assert [40 * S] * 2 == [known.line(7, 100 * S, whole=True), known.line(8, 101 * S, whole=True)]
    later(known, 101, 103)
    assert 103 * S == known.line(9, 103 * S, whole=True) == known.told_ns


def test_what_was_missed_is_that_however_long_it_takes_to_read() -> None:
    """The API server has said how far it was; a version that is no number says nothing."""
    known = beaten(told=40, up_to=100)
    known.behind(9, 99 * S)
    later(known, 100, 110)
    assert 40 * S == known.line(9, 110 * S, whole=True) == known.told_ns
    assert 110 * S == known.line(10, 110 * S, whole=True)
    assert 110 * S == known.line(0, 110 * S, whole=True)


def test_what_follows_a_backlog_is_as_old_as_the_question_how_long_that_is() -> None:
    """Also at once after the watch was opened; unless something before it could not be read."""
    for whole, since_s in ((True, 99), (False, 40)):
        known = beaten(told=40, up_to=100)
        known.behind(9, 99 * S)
        assert [40 * S, since_s * S] == [known.line(version, 100 * S, whole=whole) for version in (9, 10)]
        assert since_s * S == known.told_ns


def test_a_long_list_leaves_much_to_catch_up_with() -> None:
    """As much as it took, once; versions of before mean nothing any more."""
    known = beaten(up_to=100)
    known.behind(9, 99 * S)
    known.listed(70 * S, 95 * S)
    later(known, 100, 124)
    assert 70 * S == known.line(3, 124 * S, whole=True)
    later(known, 124, 126)
    assert 126 * S == known.line(4, 126 * S, whole=True)
    known.opened(126 * S)
    later(known, 126, 129)
    assert 129 * S == known.line(5, 129 * S, whole=True)


def test_a_watch_that_ends_before_it_has_caught_up_has_told_nothing() -> None:
    """The next one still brings what happened before both."""
    known = beaten(told=40, up_to=100)
    known.line(7, 101 * S, whole=True)
    known.opened(102 * S)
    assert 40 * S == known.line(8, 103 * S, whole=True)


def test_a_line_that_could_not_be_read_leaves_its_moment_open() -> None:
    """A list will tell what it hid; the lines after it are news of now nevertheless."""
    known = beaten(told=40, up_to=100)
    later(known, 100, 110)
    assert 110 * S == known.line(9, 110 * S, whole=False)
    assert 40 * S == known.told_ns
