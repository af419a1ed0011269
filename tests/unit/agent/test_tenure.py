"""The weighing of several owners of one address. Random histories are in ``tests/sim/test_ownership``."""

import itertools

import pytest

from agent import tenure


def held(owner: str, *facts: tuple[int, int], end: int | None = None) -> tenure.Tenure:
    made = tenure.Tenure(owner=owner, source=tenure.Source.API)
    for earliest, latest in facts:
        made.fact(earliest, latest)
    if end is not None:
        made.end(end)
    return made


def who(tenures: list[tenure.Tenure], start: int, end: int | None = None) -> set[str]:
    return tenure.owners(tenures, start, start if end is None else end)


def test_one_owner_has_it_from_its_earliest_moment_to_its_end() -> None:
    """The end itself is outside."""
    tenures = [held("a", (10, 15), end=40)]
    assert [set(), {"a"}, {"a"}, set()] == [who(tenures, at) for at in (9, 10, 39, 40)]


def test_the_next_owner_ends_the_one_before() -> None:
    """Nobody told that a let go; b's fact is enough. Where the hand-over may have been, both are possible."""
    tenures = [held("a", (10, 15)), held("b", (50, 55))]
    assert [{"a"}, {"a"}, {"a", "b"}, {"a", "b"}, {"b"}] == [who(tenures, at) for at in (10, 49, 50, 54, 55)]


def test_an_end_that_was_told_leaves_no_doubt_after_it() -> None:
    """From then on only the successor is possible."""
    tenures = [held("a", (10, 15), end=52), held("b", (50, 55))]
    assert [{"a", "b"}, {"b"}] == [who(tenures, at) for at in (51, 52)]


def test_the_kernel_s_instant_settles_what_the_api_leaves_open() -> None:
    """A socket of b proves the moment; one of a proves that it was not over."""
    tenures = [held("a", (10, 15), (51, 51)), held("b", (50, 55), (52, 52))]
    assert [{"a"}, {"a"}, {"b"}] == [who(tenures, at) for at in (50, 51, 52)]


def test_an_interval_over_a_hand_over_has_two_owners() -> None:
    """A flow that touches both is nobody's alone."""
    tenures = [held("a", (10, 15), end=30), held("b", (40, 45))]
    assert {"a", "b"} == who(tenures, 29, 40)
    assert set() == who(tenures, 30, 39)


def test_two_pods_of_one_list_with_one_address_stay_two() -> None:
    """Their order is unknown; it is not made up from the order of the list, until one ends or shows itself."""
    tenures = [held("a", (0, 100)), held("b", (0, 100))]
    assert {"a", "b"} == who(tenures, 150)
    tenures[0].end(160)
    assert {"b"} == who(tenures, 170)
    tenures[1].fact(140, 140)
    tenures[1].fact(155, 155)
    assert {"b"} == who(tenures, 150)


def test_a_short_life_told_when_it_was_over_is_possible_all_through_it() -> None:
    """It excludes nobody and is excluded by what is proven."""
    tenures = [held("a", (10, 15), end=20), held("short", (18, 30), end=30), held("b", (28, 33))]
    assert [{"a", "short"}, {"short"}, {"short", "b"}, {"b"}] == [who(tenures, at) for at in (19, 25, 29, 31)]


def test_a_socket_s_last_packets_after_the_end_still_count() -> None:
    """A fact outweighs the API's end, whichever comes first."""
    late = held("a", (10, 15), end=20)
    late.fact(22, 22)
    early = held("a", (10, 15), (22, 22), end=20)
    assert 23 == late.until_ns == early.until_ns


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_facts_does_not_matter(order: tuple[int, ...]) -> None:
    """Kernel and API tell at different speeds."""
    facts = [(10, 15), (12, 12), (40, 40), (35, 45)]
    assert held("a", *facts) == held("a", *(facts[index] for index in order))


def test_spans_are_what_the_history_shows() -> None:
    """In order of time, cut by each other."""
    tenures = [held("b", (50, 55)), held("a", (0, 15))]
    assert [("a", 0, 55), ("b", 50, tenure.FOREVER_NS)] == [
        (span.tenure.owner, span.from_ns, span.until_ns) for span in tenure.spans(tenures)
    ]
