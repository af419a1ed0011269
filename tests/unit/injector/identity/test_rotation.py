"""The plan of a rotation: what is next, what it waits for, and that nothing skips. Leaves out doing it."""

import dataclasses
from typing import Any

import pytest

from injector.identity import rotation, status
from injector.identity.rotation import Goal, Phase, Step

NOW_S = 1_795_350_000.0
IDLE = rotation.Known(
    anchor="old", upcoming="", issuer_anchor="old", anchor_key=True, upcoming_key=True, statuses={}, settle_s=180
)
QUIET = status.Status(
    time_s=int(NOW_S),
    issuer="i",
    issuer_anchor="old",
    issuer_not_after_s=0,
    bundle=("old",),
    everywhere_since_s={"old": NOW_S - 9000},
    namespaces=3,
    namespaces_missing=0,
    pods=0,
    silent=0,
    overdue=0,
    by_anchor={},
    trusting={},
    log_head="",
)


def said(**change: Any) -> status.Status:
    return status.Status(**{**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__}, **change})


def planned(goal: Goal = Goal.ANCHOR, *statuses: status.Status, **change: Any) -> rotation.Plan:
    by_name = {f"control-{number}": each for number, each in enumerate(statuses or (QUIET,))}
    return rotation.plan(dataclasses.replace(IDLE, statuses=by_name, **change), goal, now_s=NOW_S)


def using(anchor: str, pods: int, **trusting: int) -> dict[str, Any]:
    uses = {anchor: status.Use(pods=pods, last_not_after_s=int(NOW_S) + 999)}
    return {"pods": pods, "by_anchor": uses, "trusting": trusting}


def test_it_begins_with_a_second_anchor() -> None:
    """Which harms nobody; what follows is said."""
    made = planned()
    assert (Phase.SETTLED, Step.MAKE_ANCHOR, True) == (made.phase, made.step, made.due)
    assert (Step.SWITCH_ISSUER, Step.DROP_OLD) == made.ahead


def test_an_issuer_alone_is_one_step() -> None:
    """Below the same anchor nobody has to be waited for."""
    assert planned(Goal.ISSUER).due
    made = planned(Goal.ISSUER, anchor_key=False)
    assert (False, Step.MAKE_ISSUER) == (made.due, made.step)
    assert "bring the new issuer" in made.manual


EVERYWHERE = {"old": NOW_S - 9000, "new": NOW_S - 10}


@pytest.mark.parametrize(
    ("status_", "wait"),
    [
        (said(), "not yet in every namespace"),
        (said(everywhere_since_s=EVERYWHERE, **using("old", 23, old=23, new=22)), "1 of 23 pods have not yet said"),
        (said(everywhere_since_s=EVERYWHERE, silent=23, **using("old", 23)), "23 of 23 pods do not say"),
        (
            said(everywhere_since_s=EVERYWHERE, time_s=int(NOW_S) - 61, **using("old", 1, new=1)),
            "said nothing for 61 s",
        ),
    ],
)
def test_the_issuer_is_not_switched_before_every_pod_trusts_the_new_anchor(status_: status.Status, wait: str) -> None:
    """Each missing piece is named."""
    made = planned(Goal.ANCHOR, status_, upcoming="new")
    assert (Phase.PUBLISHED, Step.SWITCH_ISSUER, False) == (made.phase, made.step, made.due)
    assert wait in "; ".join(made.waits)


def test_the_issuer_is_switched_when_every_pod_trusts_the_new_anchor() -> None:
    """Pods that say so are waited for no longer than that."""
    status_ = said(everywhere_since_s=EVERYWHERE, **using("old", 23, old=23, new=23))
    assert planned(Goal.ANCHOR, status_, upcoming="new").due
    late = said(everywhere_since_s={**EVERYWHERE, "new": NOW_S - 180}, silent=5, **using("old", 23, new=18))
    assert planned(Goal.ANCHOR, late, upcoming="new").due


def test_one_control_plane_that_does_not_know_is_enough_to_wait() -> None:
    """The most careful answer counts."""
    ready = said(everywhere_since_s=EVERYWHERE, **using("old", 23, new=23))
    assert not planned(Goal.ANCHOR, ready, said(), upcoming="new").due
    assert not planned(Goal.ANCHOR, ready, said(everywhere_since_s=EVERYWHERE, **using("old", 1)), upcoming="new").due


def test_a_control_plane_that_is_gone_counts_until_its_leaves_have_ended() -> None:
    """It may have given leaves that nobody else knows of."""
    ready = said(everywhere_since_s=EVERYWHERE, **using("old", 23, new=23))
    gone = said(time_s=int(NOW_S) - 3600, everywhere_since_s=EVERYWHERE, **using("old", 2, new=2))
    assert not planned(Goal.ANCHOR, ready, gone, upcoming="new").due
    over = said(time_s=int(NOW_S) - 3600, by_anchor={"old": status.Use(pods=2, last_not_after_s=int(NOW_S))}, pods=2)
    assert planned(Goal.ANCHOR, ready, over, upcoming="new").due


@pytest.mark.parametrize("upcoming", ["", "new"])
@pytest.mark.parametrize("issuer_anchor", ["old", "new"])
def test_nothing_is_done_while_nobody_knows_what_pods_hold(upcoming: str, issuer_anchor: str) -> None:
    """No status at all is no permission."""
    known = dataclasses.replace(IDLE, upcoming=upcoming, issuer_anchor=issuer_anchor, statuses={})
    made = rotation.plan(known, Goal.ANCHOR, now_s=NOW_S)
    assert not made.due
    assert "no control plane" in "; ".join(made.waits)


def test_replicas_that_know_of_one_another_count_each_pod_once() -> None:
    """Also a third one that has ended: what it signed is in the others' ledgers, and it need not learn anything new."""
    held = using("old", 23, old=23, new=22)
    one, two = (
        said(everywhere_since_s=EVERYWHERE, knows=knows, **held) for knows in (("control-1", "gone"), ("control-0",))
    )
    gone = said(left=True, time_s=int(NOW_S) - 900, **using("old", 23, old=23))
    statuses = {"control-0": one, "control-1": two, "gone": gone}
    made = rotation.plan(dataclasses.replace(IDLE, statuses=statuses, upcoming="new"), Goal.ANCHOR, now_s=NOW_S)
    assert ("1 of 23 pods have not yet said that they trust it",) == made.waits


def test_a_replica_that_took_its_leave_is_waited_for_only_by_what_it_has_signed() -> None:
    """It is not asked to say anything more; what nobody else knows of, it left behind."""
    left = said(left=True, time_s=int(NOW_S) - 900, **using("old", 5, old=5))
    assert planned(Goal.ANCHOR, QUIET, left).due
    knowing = said(everywhere_since_s={"old": NOW_S - 9000, "new": NOW_S - 500}, **using("old", 3, new=3))
    made = planned(Goal.ANCHOR, knowing, left, upcoming="new")
    assert ("5 of 8 pods have not yet said that they trust it",) == made.waits
    switched = said(issuer_anchor="new", **using("new", 3))
    made = planned(Goal.ANCHOR, switched, left, upcoming="new", issuer_anchor="new")
    assert ("5 pods still have a leaf below it",) == made.waits


def test_the_old_anchor_stays_while_a_pod_needs_it() -> None:
    """Or a control plane still signs below it."""
    status_ = said(issuer_anchor="new", **using("old", 2))
    made = planned(Goal.ANCHOR, status_, upcoming="new", issuer_anchor="new")
    assert (Phase.SWITCHED, Step.DROP_OLD) == (made.phase, made.step)
    assert ("2 pods still have a leaf below it",) == made.waits
    held = planned(Goal.ANCHOR, said(**using("new", 2)), upcoming="new", issuer_anchor="new")
    assert not held.due
    assert "does not use the new issuer yet" in held.waits[0]
    assert planned(Goal.ANCHOR, said(issuer_anchor="new", **using("new", 2)), upcoming="new", issuer_anchor="new").due


def test_an_issuer_is_not_begun_in_the_middle_of_an_anchor() -> None:
    """What is under way is finished first."""
    assert Step.DROP_OLD is planned(Goal.ISSUER, upcoming="new", issuer_anchor="new").step
    assert Step.SWITCH_ISSUER is planned(Goal.ISSUER, upcoming="new").step


def test_a_drop_that_was_interrupted_is_finished() -> None:
    """The anchor was moved and its copy not yet removed."""
    assert planned(Goal.ANCHOR, upcoming="new", anchor="new", issuer_anchor="new").due


def test_secrets_that_do_not_fit_are_for_a_person() -> None:
    """An issuer below neither anchor."""
    made = planned(Goal.ANCHOR, issuer_anchor="")
    assert (Phase.UNKNOWN, None, False) == (made.phase, made.step, made.due)
    assert Phase.UNKNOWN is planned(Goal.ANCHOR, anchor="").phase


def test_a_next_anchor_without_its_key_waits_for_an_issuer() -> None:
    """Somebody brings both, and the issuer only when pods are ready."""
    status_ = said(everywhere_since_s=EVERYWHERE, **using("old", 1, new=1))
    made = planned(Goal.ANCHOR, status_, upcoming="new", upcoming_key=False)
    assert not made.due
    assert () == made.waits
    assert "bring an issuer" in made.manual


def test_a_plan_reads_well() -> None:
    """As `ipseity identity rotate --plan` prints it."""
    status_ = said(issuer_anchor="new", **using("old", 2))
    made = planned(Goal.ANCHOR, status_, upcoming="new", issuer_anchor="new")
    assert ["phase: switched", "next:  drop-old (not yet)", "wait:  2 pods still have a leaf below it"] == list(
        rotation.describe(made)
    )
    assert "then:  drop-old" == rotation.describe(planned())[-1]
