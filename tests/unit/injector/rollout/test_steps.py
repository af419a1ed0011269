"""Every decision of a rollout. Random lives are in ``tests/sim/injector/test_rollout.py``."""

import pytest

from injector.rollout import model, steps
from tests.fakes import rollouts
from tests.fakes.rollouts import FAILED, PASSED, WANTED, seen, status

Phase, Why, Order, Standing, News = model.Phase, model.Why, model.Order, model.Standing, model.News
NOW_S = 1100.0


def step(before: model.Status | None, now: model.Seen) -> model.Decision:
    return steps.step(WANTED, before, now, now_s=NOW_S)


def news(decision: model.Decision) -> list[model.News]:
    return [each.news for each in decision.said]


def test_it_begins_with_all_traffic_on_stable() -> None:
    decided = step(None, seen(standing=Standing.BEHIND)).status
    assert (Phase.INITIALIZING, 0, 1) == (decided.phase, decided.weight, decided.step)


def test_nothing_begins_until_the_route_says_so() -> None:
    before = status(phase=Phase.INITIALIZING, weight=0)
    assert before == step(before, seen(standing=Standing.BEHIND)).status


def test_the_first_step_is_taken_when_the_canary_is_ready() -> None:
    before = status(phase=Phase.INITIALIZING, weight=0)
    decision = step(before, seen())
    assert (Phase.PROGRESSING, 10, before.step + 1) == (
        decision.status.phase,
        decision.status.weight,
        decision.status.step,
    )
    assert [News.STARTED] == news(decision)


@pytest.mark.parametrize(("since_s", "phase"), [(NOW_S - 601, Phase.FAILED), (NOW_S - 600, Phase.INITIALIZING)])
def test_who_is_never_ready_is_given_up(since_s: float, phase: model.Phase) -> None:
    before = status(phase=Phase.INITIALIZING, weight=0, since_s=since_s)
    decided = step(before, seen(ready=False, unready="no pod")).status
    assert phase is decided.phase
    assert "no pod" in decided.message


def test_a_route_that_is_not_there_is_waited_for() -> None:
    """Without an end: nobody is harmed meanwhile."""
    before = status(phase=Phase.INITIALIZING, weight=0, since_s=0)
    decided = step(before, seen(standing=Standing.ABSENT, absent="there is no HTTPRoute web")).status
    assert (Phase.INITIALIZING, Why.NO_ROUTE, "there is no HTTPRoute web") == (
        decided.phase,
        decided.why,
        decided.message,
    )


def test_nothing_moves_between_checks() -> None:
    assert rollouts.STATUS == step(rollouts.STATUS, seen()).status


@pytest.mark.parametrize(("weight", "then"), [(10, 20), (20, 30), (7, 10), (90, 30)])
def test_each_passed_check_is_a_step(weight: int, then: int) -> None:
    """A weight that no step has is of a spec that was changed: the next is one of the new ones, never beyond."""
    decision = step(status(weight=weight), seen(check=PASSED))
    assert (Phase.PROGRESSING, then, 1) == (
        decision.status.phase,
        decision.status.weight,
        decision.status.iterations,
    )
    assert [News.ADVANCED] == news(decision)


def test_a_check_at_the_most_promotes_and_then_it_is_done() -> None:
    promoting = step(status(weight=30), seen(check=PASSED)).status
    assert (Phase.PROMOTING, 100) == (promoting.phase, promoting.weight)
    assert promoting == step(promoting, seen(standing=Standing.BEHIND)).status
    done = step(promoting, seen())
    assert (Phase.SUCCEEDED, 100, [News.PROMOTED]) == (done.status.phase, done.status.weight, news(done))


def test_failed_checks_hold_it_and_then_end_it() -> None:
    """Three are allowed none more than: they add up, also over passed ones."""
    once = step(status(weight=20), seen(check=FAILED))
    assert (20, 1, [News.HALTED]) == (once.status.weight, once.status.failed_checks, news(once))
    passed = step(once.status, seen(check=PASSED)).status
    assert (30, 1) == (passed.weight, passed.failed_checks)
    twice = step(passed, seen(check=FAILED)).status
    ended = step(twice, seen(check=FAILED))
    assert (Phase.FAILED, Why.CHECKS_FAILED, 0) == (ended.status.phase, ended.status.why, ended.status.weight)
    assert [News.ROLLED_BACK] == news(ended)
    assert "3 of 3 failed checks: request-success-rate 90.00 % is below 99" in ended.said[0].note


def test_a_canary_that_is_not_ready_passes_no_check() -> None:
    decided = step(status(), seen(check=PASSED, ready=False, unready="no ready pod")).status
    assert (10, 1) == (decided.weight, decided.failed_checks)
    assert "no ready pod" in decided.message


def test_what_ended_stays() -> None:
    for before in (status(phase=Phase.FAILED, weight=0, why=Why.CHECKS_FAILED), status(phase=Phase.SUCCEEDED)):
        for standing in Standing:
            after = step(before, seen(standing=standing, check=FAILED)).status
            assert before.phase is after.phase
            assert before.step == after.step


@pytest.mark.parametrize("phase", [Phase.INITIALIZING, Phase.PROGRESSING, Phase.PROMOTING, Phase.FAILED])
def test_a_new_version_begins_anew(phase: model.Phase) -> None:
    before = status(phase=phase, failed_checks=2)
    decided = step(before, seen(revisions=frozenset({"a", "b"}), check=PASSED)).status
    assert (Phase.INITIALIZING, 0, before.step + 1, 0) == (
        decided.phase,
        decided.weight,
        decided.step,
        decided.failed_checks,
    )


def test_the_pods_of_the_version_before_going_is_nothing_new() -> None:
    before = status(revisions=frozenset({"a", "b"}))
    narrowed = step(before, seen(revisions=frozenset({"b"}))).status
    assert (Phase.PROGRESSING, frozenset({"b"})) == (narrowed.phase, narrowed.revisions)
    assert Phase.INITIALIZING is step(narrowed, seen(revisions=frozenset({"a"}))).status.phase
    assert narrowed == step(narrowed, seen(revisions=frozenset())).status


def test_what_was_promoted_may_change_but_another_pair_begins_anew() -> None:
    before = status(phase=Phase.SUCCEEDED, weight=100)
    assert Phase.SUCCEEDED is step(before, seen(revisions=frozenset({"b"}))).status.phase
    assert Phase.INITIALIZING is step(before, seen(rollout="r2")).status.phase


def test_paused_it_moves_no_further_and_is_still_rolled_back() -> None:
    held = step(status(weight=30), seen(order=Order.PAUSE, check=PASSED)).status
    assert (Phase.PROGRESSING, 30, True, 1) == (held.phase, held.weight, held.paused, held.iterations)
    bad = status(failed_checks=2, paused=True)
    ended = step(bad, seen(order=Order.PAUSE, check=FAILED)).status
    assert (Phase.FAILED, False) == (ended.phase, ended.paused)
    assert (Phase.PROMOTING, False) == ((on := step(held, seen(check=PASSED)).status).phase, on.paused)


def test_paused_it_does_not_begin_nor_runs_out_of_time() -> None:
    before = status(phase=Phase.INITIALIZING, weight=0, since_s=0)
    for ready in (True, False):
        assert Phase.INITIALIZING is step(before, seen(order=Order.PAUSE, ready=ready)).status.phase


@pytest.mark.parametrize("phase", [Phase.INITIALIZING, Phase.PROGRESSING, Phase.PROMOTING, Phase.SUCCEEDED])
@pytest.mark.parametrize("standing", [Standing.APPLIED, Standing.BEHIND])
def test_aborted_all_goes_back(phase: model.Phase, standing: model.Standing) -> None:
    """Also what was promoted."""
    decision = step(status(phase=phase, weight=30), seen(order=Order.ABORT, standing=standing, check=PASSED))
    assert (Phase.FAILED, Why.ABORTED, 0) == (decision.status.phase, decision.status.why, decision.status.weight)
    assert [News.ABORTED] == news(decision)


def test_while_somebody_says_abort_nothing_begins() -> None:
    before = status(phase=Phase.FAILED, weight=0, why=Why.ABORTED, aborted=True)
    fresh = frozenset({"b"})
    still = step(before, seen(order=Order.ABORT, revisions=fresh)).status
    assert before == still
    assert Phase.INITIALIZING is step(still, seen(revisions=fresh)).status.phase


@pytest.mark.parametrize("phase", [Phase.INITIALIZING, Phase.PROGRESSING, Phase.PROMOTING])
@pytest.mark.parametrize("standing", [Standing.FOREIGN, Standing.OVERTAKEN])
@pytest.mark.parametrize("order", [Order.RESUME, Order.PAUSE])
def test_who_writes_other_weights_has_them(phase: model.Phase, standing: model.Standing, order: model.Order) -> None:
    before = status(phase=phase)
    decision = step(before, seen(standing=standing, order=order, check=FAILED))
    assert (Phase.FAILED, Why.WEIGHTS_CHANGED, before.step) == (
        decision.status.phase,
        decision.status.why,
        decision.status.step,
    )
    assert [News.LEFT_ALONE] == news(decision)
    assert not any(steps.writes(decision.status, each, seen()) for each in Standing)


def test_what_a_person_wrote_is_not_taken_away_by_a_new_version() -> None:
    """Neither after it was told, nor if both are seen at once; another pair, or an order, begins anew, and says so."""
    fresh = frozenset({"b"})
    rolled_back = status(phase=Phase.FAILED, weight=0, why=Why.CHECKS_FAILED)
    told = step(rolled_back, seen(standing=Standing.FOREIGN, revisions=fresh))
    assert (Why.WEIGHTS_CHANGED, rolled_back.step, [News.LEFT_ALONE]) == (told.status.why, told.status.step, news(told))
    assert [] == news(step(told.status, seen(revisions=fresh)))
    assert [News.BEGUN] == news(step(told.status, seen(rollout="r1-again", standing=Standing.FOREIGN)))


@pytest.mark.parametrize("standing", [Standing.FOREIGN, Standing.OVERTAKEN])
def test_after_a_promotion_other_weights_are_told_about(standing: model.Standing) -> None:
    told = step(status(phase=Phase.SUCCEEDED, weight=100, why=Why.SUCCEEDED), seen(standing=standing))
    assert (Phase.SUCCEEDED, Why.WEIGHTS_CHANGED, [News.LEFT_ALONE]) == (told.status.phase, told.status.why, news(told))
    assert [] == news(step(told.status, seen(standing=standing)))


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING, Phase.SUCCEEDED, Phase.FAILED])
def test_a_route_without_weights_gets_them_again(phase: model.Phase) -> None:
    before = status(phase=phase, why=Why.CHECKS_FAILED)
    decision = step(before, seen(standing=Standing.RESET))
    assert (before, [News.RESET]) == (decision.status, news(decision))
    assert steps.writes(before, Standing.RESET, seen())
    theirs = status(phase=Phase.FAILED, why=Why.WEIGHTS_CHANGED)
    assert [] == news(step(theirs, seen(standing=Standing.RESET)))


@pytest.mark.parametrize("standing", [Standing.FOREIGN, Standing.OVERTAKEN])
@pytest.mark.parametrize("phase", list(Phase))
def test_an_order_to_abort_is_above_weights_that_somebody_wrote(phase: model.Phase, standing: model.Standing) -> None:
    """Given after them. Weights that are written after the order are theirs again."""
    before = status(phase=phase, why=Why.WEIGHTS_CHANGED)
    decision = step(before, seen(order=Order.ABORT, standing=standing))
    done = decision.status
    assert (Phase.FAILED, Why.ABORTED, 0, before.step + 1) == (done.phase, done.why, done.weight, done.step)
    assert [News.ABORTED] == news(decision)
    assert steps.writes(done, Standing.BEHIND, seen())
    after = step(done, seen(order=Order.ABORT, standing=Standing.FOREIGN)).status
    assert (Why.WEIGHTS_CHANGED, done.step) == (after.why, after.step)
    assert after == step(after, seen(order=Order.ABORT, standing=Standing.FOREIGN)).status


def test_who_had_no_pods_may_still_begin() -> None:
    """An idle Deployment is waited for without an end; one that was given up before it had pods begins with them."""
    idle = seen(ready=False, unready="no pod", revisions=frozenset())
    before = status(phase=Phase.INITIALIZING, weight=0, revisions=frozenset(), since_s=0)
    assert Phase.INITIALIZING is step(before, idle).status.phase
    came = step(before, seen(ready=False, unready="no ready pod")).status
    assert (Phase.INITIALIZING, NOW_S) == (came.phase, came.since_s)
    given_up = status(phase=Phase.FAILED, weight=0, revisions=frozenset(), why=Why.DEADLINE)
    assert given_up == step(given_up, idle).status
    assert Phase.INITIALIZING is step(given_up, seen()).status.phase


def test_time_to_become_ready_counts_from_resume_on() -> None:
    before = status(phase=Phase.INITIALIZING, weight=0, since_s=0, paused=True)
    resumed = step(before, seen(ready=False, unready="no pod")).status
    assert (Phase.INITIALIZING, NOW_S) == (resumed.phase, resumed.since_s)


def test_who_is_faster_than_our_way_back_is_told_about() -> None:
    before = status(phase=Phase.FAILED, weight=0, why=Why.CHECKS_FAILED, message="bad")
    decision = step(before, seen(standing=Standing.OVERTAKEN))
    assert ([News.LEFT_ALONE], Why.WEIGHTS_CHANGED) == (news(decision), decision.status.why)
    assert "bad" in decision.status.message
    assert [] == news(step(decision.status, seen(standing=Standing.OVERTAKEN)))


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING])
def test_a_route_that_goes_ends_it(phase: model.Phase) -> None:
    decided = step(status(phase=phase), seen(standing=Standing.ABSENT, absent="there is no HTTPRoute web")).status
    assert (Phase.FAILED, Why.WEIGHTS_CHANGED) == (decided.phase, decided.why)


def test_what_was_replaced_is_not_promoted_by_itself() -> None:
    """v2 was promoted over v1, and the two Services change roles: before the next version is deployed, or after."""
    pods = {"v1": seen(stable=frozenset({"v1"}), revisions=frozenset({"v2"}))}
    before = step(status(phase=Phase.PROMOTING, weight=100, revisions=frozenset({"v2"})), pods["v1"]).status
    assert (Phase.SUCCEEDED, ("v1",)) == (before.phase, before.retired)
    early = seen(stable=frozenset({"v3"}), revisions=frozenset({"v2"}))  # deployed into v1's Deployment already
    assert before == step(before, early).status

    def exchanged(version: str, rollout: str = "r2") -> model.Seen:
        return seen(rollout=rollout, stable=frozenset({"v2"}), revisions=frozenset({version}))

    waits = step(begun := step(before, exchanged("v1")).status, exchanged("v1")).status
    assert (Phase.INITIALIZING, 0) == (waits.phase, waits.weight)
    assert "waits for a new version of web-v2" in waits.message
    assert Phase.INITIALIZING is steps.step(WANTED, waits, exchanged("v1"), now_s=1e9).status.phase
    for now in (exchanged("v3"), exchanged("v1", "r2-again")):  # the next version, or an order
        again = step(waits, now).status
        assert (Phase.INITIALIZING, begun.step + 1) == (again.phase, again.step)
        assert Phase.PROGRESSING is step(again, now).status.phase
    assert Phase.PROGRESSING is step(step(before, exchanged("v3")).status, exchanged("v3")).status.phase


def test_pods_that_tell_no_version_are_not_new_after_a_promotion() -> None:
    blank = seen(revisions=frozenset())
    first = step(status(phase=Phase.INITIALIZING, revisions=frozenset(), weight=0), blank).status
    assert Phase.PROGRESSING is first.phase
    done = step(status(phase=Phase.PROMOTING, revisions=frozenset(), weight=100), blank).status
    exchanged = seen(revisions=frozenset(), rollout="r2")
    assert Phase.INITIALIZING is step(step(done, exchanged).status, exchanged).status.phase


def test_versions_that_were_replaced_are_as_many_as_a_status_has_room_for() -> None:
    many = tuple(f"v{each}" for each in range(model.MOST_REVISIONS))
    assert (*many[1:], "z") == step(status(retired=many), seen(stable=frozenset({"z"}))).status.retired


def test_production_is_not_taken_from_a_canary_that_has_all_of_it() -> None:
    """A Canary that is made again after a promotion, and an exchange that is taken back."""
    exchanged = status(phase=Phase.INITIALIZING, weight=0, rollout="r2")
    for before, rollout in ((None, "r1"), (None, "r1-once"), (exchanged, "r1")):
        left = step(before, seen(rollout=rollout, taken=True))
        assert (Phase.FAILED, Why.WEIGHTS_CHANGED, [News.LEFT_ALONE]) == (
            left.status.phase,
            left.status.why,
            news(left),
        )
        assert not any(steps.writes(left.status, each, seen()) for each in Standing)
        assert left.status.step == step(left.status, seen(rollout=rollout, revisions=frozenset({"b"}))).status.step
        ordered = step(left.status, seen(rollout="r1-again", taken=True)).status
        assert (Phase.INITIALIZING, left.status.step + 1) == (ordered.phase, ordered.step)
        assert Phase.INITIALIZING is step(left.status, seen(rollout="r3")).status.phase


def test_an_order_that_is_taken_away_begins_nothing() -> None:
    before = status(phase=Phase.SUCCEEDED, weight=100, rollout="r1-once")
    assert before == step(before, seen()).status
    assert Phase.INITIALIZING is step(before, seen(rollout="r1-twice")).status.phase


@pytest.mark.parametrize(
    ("phase", "weight", "empty"),
    [
        (Phase.INITIALIZING, 0, {"stable_empty": "no pod"}),
        (Phase.FAILED, 0, {"stable_empty": "no pod"}),
        (Phase.PROGRESSING, 10, {"stable_empty": "no pod"}),
        (Phase.PROGRESSING, 10, {"canary_empty": "no pod"}),
        (Phase.SUCCEEDED, 100, {"canary_empty": "no pod"}),
    ],
)
def test_nobody_is_sent_to_a_service_without_pods(phase: model.Phase, weight: int, empty: dict[str, str]) -> None:
    """But by the order to abort."""
    now = status(phase=phase, weight=weight, why=Why.CHECKS_FAILED)
    assert not steps.writes(now, Standing.BEHIND, seen(**empty))
    assert steps.writes(now, Standing.BEHIND, seen())
    aborted = status(phase=Phase.FAILED, weight=0, why=Why.ABORTED, aborted=True)
    assert steps.writes(aborted, Standing.BEHIND, seen(stable_empty="no pod"))


def test_a_stable_without_pods_is_said() -> None:
    before = status(phase=Phase.INITIALIZING, weight=0)
    decided = step(before, seen(standing=Standing.BEHIND, stable_empty="Service web-v1 has no ready pod")).status
    assert "waits for stable: Service web-v1 has no ready pod" == decided.message


def test_only_what_is_behind_is_written() -> None:
    assert [Standing.BEHIND, Standing.RESET] == [
        each for each in Standing if steps.writes(rollouts.STATUS, each, seen())
    ]
