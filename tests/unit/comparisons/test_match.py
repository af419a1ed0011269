"""Truth against what arrived. Leaves out how truth comes about (``scenarios``)."""

from typing import Any

import hypothesis
from hypothesis import strategies

from comparisons import match

MS = 1_000_000


def lines(*told: tuple[float, str, str, str]) -> list[str]:
    return [f"{int(at_ms * MS)} {what} {name} {more}" for at_ms, what, name, more in told]


def played(**said: Any) -> match.Played:
    given: dict[str, Any] = {"accounts": {}, "rights": [], "since_ns": 0, "until_ns": 1000 * MS, **said}
    return match.Played(**given)


def test_an_attempt_has_passed_if_the_server_got_it_whatever_the_caller_says() -> None:
    """A caller that heard nothing, and a server that did get it: it has passed."""
    found = match.attempts(
        lines((1, "sent", "a:0", "GET"), (2, "got", "a:0", "10.0.0.2 GET -"), (3, "refused", "a:0", "x"))
    )
    run = match.run(0, played(), found)
    assert (1, 1, 0) == (run.false_allows, run.passed, run.false_denies)


def test_what_refused_callers_saw_is_kept_if_they_were_entitled() -> None:
    """A status, or an error: it says where to look."""
    found = match.attempts(
        lines(
            (1, "sent", "a:0", "GET"), (2, "refused", "a:0", "503"),
            (3, "sent", "a:1", "GET"), (4, "refused", "a:1", "TimeoutError"),
            (5, "sent", "a:2", "GET"), (6, "refused", "a:2", "503"),
            (7, "sent", "b:0", "GET"), (8, "refused", "b:0", "403"),
        )
    )  # fmt: skip
    assert {"503": 2, "TimeoutError": 1} == match.run(0, played(rights=[match.Right(who="a")]), found).denied_as


def test_a_right_counts_when_the_attempt_was_made() -> None:
    """Sent while it was allowed and received after: no false allow. Sent after: one."""
    found = match.attempts(
        lines(
            (5, "sent", "a:0", "GET"), (12, "got", "a:0", "10.0.0.2 GET -"),
            (15, "sent", "a:1", "GET"), (16, "got", "a:1", "10.0.0.2 GET -"),
        )
    )  # fmt: skip
    run = match.run(0, played(rights=[match.Right(who="a", until_ns=10 * MS)], since_ns=10 * MS, from_ns=1), found)
    assert 1 == run.false_allows
    assert 6.0 == run.window_ms


def test_a_window_is_open_until_something_was_refused_after_it() -> None:
    """The last attempt passed: nobody knows how long it would have gone on."""
    told = [(1, "sent", "a:0", "GET"), (2, "got", "a:0", "10.0.0.2 GET -")]
    still = match.run(0, played(), match.attempts(lines(*told)))
    over = match.run(0, played(), match.attempts(lines(*told, (5, "sent", "a:1", "GET"), (9, "refused", "a:1", "x"))))
    assert (False, True) == (still.closed, over.closed)


def test_what_a_connection_carried_last_may_arrive_after_its_end() -> None:
    """It was cut with something on its way: what was tried after that was refused, so the window is closed."""
    cut = (1, "sent", "a:0", "LINE"), (2, "refused", "a:0", "x"), (4, "got", "a:0", "10.0.0.2 LINE -")
    after = (3, "sent", "a:1", "LINE"), (3.1, "refused", "a:1", "gone")
    run = match.run(0, played(), match.attempts(lines(*cut, *after)))
    assert (1, 4.0, True) == (run.false_allows, run.window_ms, run.closed)


def test_a_window_that_is_tolerated_must_have_closed() -> None:
    """A short one that closed is right; the same one, open, lets in."""
    told = [(1, "sent", "a:0", "GET"), (2, "got", "a:0", "10.0.0.2 GET -")]
    refused = (5, "sent", "a:1", "GET"), (9, "refused", "a:1", "x")
    over = match.attempts(lines(*told, *refused))
    assert "right" == match.run(0, played(), over, tolerance_ms=3).outcome
    assert "lets_in" == match.run(0, played(), over, tolerance_ms=1).outcome
    assert "lets_in" == match.run(0, played(), match.attempts(lines(*told)), tolerance_ms=3).outcome


def test_who_may_and_was_refused_is_a_false_deny() -> None:
    """But not one whose pod ended before it heard."""
    told = lines((1, "sent", "a:0", "GET"), (2, "refused", "a:0", "x"), (3, "sent", "a:1", "GET"))
    run = match.run(0, played(rights=[match.Right(who="a")]), match.attempts(told))
    assert (1, "keeps_out", 1.0) == (run.false_denies, run.outcome, run.lag_ms)


def test_a_refusal_that_is_tolerated_must_have_ended() -> None:
    """Refused for a moment and then admitted: right, if that long is tolerated. Never admitted: kept out."""
    told = [(1, "sent", "a:0", "GET"), (2, "refused", "a:0", "x")]
    later = [(8, "sent", "a:1", "GET"), (9, "got", "a:1", "10.0.0.2 GET -"), (9, "answered", "a:1", "200")]
    ended, ongoing = match.attempts(lines(*told, *later)), match.attempts(lines(*told))
    mine = played(rights=[match.Right(who="a")])
    assert "right" == match.run(0, mine, ended, tolerance_ms=3).outcome
    assert "keeps_out" == match.run(0, mine, ended, tolerance_ms=0.5).outcome
    assert "keeps_out" == match.run(0, mine, ended).outcome
    assert "keeps_out" == match.run(0, mine, ongoing, tolerance_ms=3).outcome


def test_a_method_may_be_all_that_a_right_is_for() -> None:
    """The same caller: one method is entitled, the other is not."""
    found = match.attempts(
        lines(
            (1, "sent", "a:0", "GET"), (2, "got", "a:0", "10.0.0.2 GET -"),
            (3, "sent", "a:1", "POST"), (4, "got", "a:1", "10.0.0.2 POST -"),
        )
    )  # fmt: skip
    assert 1 == match.run(0, played(rights=[match.Right(who="a", method="GET")]), found).false_allows


def test_a_name_is_right_or_wrong_or_missing() -> None:
    """By the certificate where there is one, else by whom the contender took the address for, at that time."""
    found = match.attempts(
        lines(
            (1, "sent", "a-1:0", "GET"), (2, "got", "a-1:0", "10.0.0.2 GET spiffe://td/ns/x/sa/a"),
            (3, "sent", "a-1:1", "GET"), (4, "got", "a-1:1", "10.0.0.2 GET spiffe://td/ns/x/sa/b"),
            (5, "sent", "a-1:2", "GET"), (6, "got", "a-1:2", "10.0.0.2 GET -"),
            (7, "sent", "a-1:3", "GET"), (12, "got", "a-1:3", "10.0.0.2 GET -"),
            (8, "sent", "a-1:4", "GET"), (9, "got", "a-1:4", "10.0.0.3 GET -"),
        )
    )  # fmt: skip
    beliefs = [
        match.Belief(address="10.0.0.2", name="old", from_ns=0, until_ns=10 * MS),
        match.Belief(address="10.0.0.2", name="a-1", from_ns=10 * MS, until_ns=match.FOREVER_NS),
    ]
    run = match.run(0, played(accounts={"a-1": "a"}), found, beliefs)
    assert (2, 2, 1) == (run.named_right, run.named_wrong, run.unnamed)


def test_a_caller_in_a_pod_of_another_name_is_known_by_the_pods_name() -> None:
    """A pod that many runs call from."""
    beliefs = [match.Belief(address="10.0.0.2", name="client", from_ns=0, until_ns=match.FOREVER_NS)]
    found = match.attempts(lines((1, "sent", "client-3:0", "GET"), (2, "got", "client-3:0", "10.0.0.2 GET -")))
    posted = match.run(3, played(pods={"client-3": "client"}), found, beliefs)
    assert (1, 0) == (posted.named_right, posted.named_wrong)
    assert 1 == match.run(3, played(), found, beliefs).named_wrong


def test_what_arrived_before_it_was_sent_is_of_a_void_run() -> None:
    """The server's log is not begun anew when a run is: its names are the same."""
    told = lines((1, "got", "a:0", "10.0.0.2 GET -"), (5, "sent", "a:0", "GET"), (6, "refused", "a:0", "x"))
    assert [0] == [it.got_ns for it in match.attempts(told)]


def test_a_line_that_was_cut_off_is_no_attempt() -> None:
    """A pod that was killed while it wrote."""
    assert [] == match.attempts(["12", "17 sent", "x sent a:0 GET", "", "9 got a:0"])


@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.sampled_from("ab"), strategies.booleans(), strategies.booleans()), max_size=40
    )
)
def test_counts_add_up(made: list[tuple[str, bool, bool]]) -> None:
    """Passed = entitled that passed + false allows, whatever happened."""
    told = []
    for number, (who, got, ended) in enumerate(made):
        told.append((float(number), "sent", f"{who}:{number}", "GET"))
        if got:
            told.append((number + 0.5, "got", f"{who}:{number}", "10.0.0.2 GET -"))
        if ended:
            told.append((number + 0.6, "answered" if got else "refused", f"{who}:{number}", "x"))
    run = match.run(0, played(rights=[match.Right(who="a")]), match.attempts(lines(*told)))
    assert len(made) == run.attempts
    assert sum(who == "b" and got for who, got, _ in made) == run.false_allows
    assert sum(who == "a" and not got and ended for who, got, ended in made) == run.false_denies
    assert (run.window_ms > 0) <= bool(run.false_allows)
    picture = match.picture(0, played(rights=[match.Right(who="a")]), match.attempts(lines(*told)))
    assert len(picture.packets) <= match.PICTURE_PACKETS
