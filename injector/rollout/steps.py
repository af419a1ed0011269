"""One step of a rollout: how it stood, and what is seen now -> how it stands from now on. Pure.

    decision = steps.step(spec, before, seen, now_s=now_s)

Here because everything that can go wrong with a canary is decided in this file, and nothing else is. It may be called
at any time, as often as one likes, by a process that knows nothing but the status that the last one wrote: a weight is
decided (status) before it is written (route), and nothing is decided while the route is behind. Leaves out what a check
is (``judge``) and when one is due (``keeper``).
"""

import dataclasses

from injector.rollout import model

Phase, Standing, Why, News = model.Phase, model.Standing, model.Why, model.News
_ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED})
_OURS = frozenset({Standing.BEHIND, Standing.RESET})
_THEIRS = frozenset({Standing.FOREIGN, Standing.OVERTAKEN})
_CHANGED = "the weights were changed by somebody else, and stay as they are"
_TAKEN = f"the canary has all traffic already: exchange stable and canary, or order a rollout with {model.RESTART}"
_RESET = "the route was applied without weights, and gets them again: have the tool that applies it leave them alone"


def step(spec: model.Spec, before: model.Status | None, seen: model.Seen, *, now_s: float) -> model.Decision:
    """Decide. ``before`` is None for a Canary that nobody has looked at yet."""
    decision = _decided(spec, before, seen, now_s)
    if seen.standing is Standing.RESET and writes(decision.status, seen.standing, seen):
        return dataclasses.replace(decision, said=(_said(News.RESET, _RESET), *decision.said))
    return decision


def _decided(spec: model.Spec, before: model.Status | None, seen: model.Seen, now_s: float) -> model.Decision:
    if before is None or _is_new(before, seen):
        return _begin(before, seen, now_s)
    status = _narrowed(before, seen, now_s)
    if status.aborted and not before.aborted and (status.phase is not Phase.FAILED or _is_theirs(status, seen)):
        return _failed(status, Why.ABORTED, f"by the annotation {model.ORDER}", News.ABORTED, now_s)
    if status.phase in _ENDED:
        return _after(status, seen)
    if seen.standing in _THEIRS:
        return _left_alone(status, _CHANGED, now_s)
    if status.phase is Phase.INITIALIZING:
        return _initializing(spec, status, seen, now_s)
    return _running(spec, status, seen, now_s)


def _is_new(before: model.Status, seen: model.Seen) -> bool:
    """Tell whether this is another rollout than the one that the status is about.

    What was promoted is the user's to change; and while somebody says ``abort``, nothing begins by itself. An order to
    begin anew that is taken away is none.
    """
    if seen.rollout not in {before.rollout, _pair(before.rollout)}:
        return True
    if before.phase is Phase.SUCCEEDED or seen.order is model.Order.ABORT or _is_theirs(before, seen):
        return False
    known = bool(before.revisions) or before.phase is Phase.FAILED
    return known and not seen.revisions <= before.revisions


def _is_theirs(status: model.Status, seen: model.Seen) -> bool:
    """Tell whether the weights are somebody else's: no new version takes them away from whom wrote them."""
    return status.why is Why.WEIGHTS_CHANGED or seen.standing in _THEIRS


def _narrowed(status: model.Status, seen: model.Seen, now_s: float) -> model.Status:
    """Take what is plainly so: an order, and versions whose last pod is gone, or whose first is there."""
    paused = seen.order is model.Order.PAUSE and status.phase not in _ENDED
    fresh = not status.revisions and status.phase is not Phase.FAILED
    known = fresh or seen.revisions <= status.revisions
    resumed = status.paused and not paused
    waited = status.phase is Phase.INITIALIZING and (resumed or (fresh and bool(seen.revisions)))
    return dataclasses.replace(
        status,
        paused=paused,
        aborted=seen.order is model.Order.ABORT,
        since_s=now_s if waited else status.since_s,
        revisions=seen.revisions if seen.revisions and known else status.revisions,
        retired=status.retired if status.phase in _ENDED else _retired(status, seen.stable - seen.revisions),
    )


def _retired(status: model.Status, more: frozenset[str]) -> tuple[str, ...]:
    """Take versions that production had. Once promoted, stable's pods may already be of the next version."""
    return (*status.retired, *sorted(more.difference(status.retired)))[-model.MOST_REVISIONS :]


def _is_old(status: model.Status, seen: model.Seen) -> bool:
    """Tell whether the canary is nothing but what production had before: promoted, it would be a way back."""
    return (seen.revisions or frozenset({""})) <= frozenset(status.retired)


def _running(spec: model.Spec, status: model.Status, seen: model.Seen, now_s: float) -> model.Decision:
    if seen.standing is Standing.ABSENT:
        return _left_alone(status, f"{seen.absent}: there is nothing to move any more", now_s)
    if seen.standing in _OURS:
        return model.Decision(status=status)
    if status.phase is Phase.PROMOTING:
        return _promoted(spec, status, seen, now_s)
    return _progressing(spec, status, seen, now_s)


def writes(status: model.Status, standing: model.Standing, seen: model.Seen) -> bool:
    """Say whether the route is to be made as the status says.

    Never over what somebody else has written; and nobody is sent to a Service that has no ready pod, but by an order.
    """
    if standing not in _OURS or status.why is Why.WEIGHTS_CHANGED:
        return False
    empty = (seen.stable_empty and status.weight < model.ALL) or (seen.canary_empty and status.weight > 0)
    return not empty or status.aborted


def _begin(before: model.Status | None, seen: model.Seen, now_s: float) -> model.Decision:
    """All traffic to stable: a rollout begins there.

    What production had before stays known, unless somebody orders to begin anew: that is meant for what there is.
    Without an order none is taken from a canary that has all of it: a Canary made again, or an exchange taken back.
    """
    ordered = before is not None and _restart(seen.rollout) not in {"", _restart(before.rollout)}
    status = model.Status(
        phase=Phase.INITIALIZING,
        rollout=seen.rollout,
        revisions=seen.revisions,
        retired=before.retired if before is not None and not ordered else (),
        step=(before.step if before is not None else 0) + 1,
        weight=0,
        since_s=now_s,
        paused=seen.order is model.Order.PAUSE,
        why=Why.INITIALIZING,
        message=f"waits for stable: {seen.stable_empty}"
        if seen.stable_empty
        else "a new version: all traffic goes to stable until it is ready",
    )
    same = before is not None and _pair(seen.rollout) == _pair(before.rollout)
    if seen.taken and not same and not ordered:
        return _left_alone(dataclasses.replace(status, weight=model.ALL), _TAKEN, now_s)
    return model.Decision(status=status, said=(_said(News.BEGUN, status.message),))


def _pair(rollout: str) -> str:
    return rollout.partition("-")[0]


def _restart(rollout: str) -> str:
    return rollout.partition("-")[2]


def _initializing(spec: model.Spec, status: model.Status, seen: model.Seen, now_s: float) -> model.Decision:
    if seen.standing is Standing.ABSENT:
        return model.Decision(status=dataclasses.replace(status, why=Why.NO_ROUTE, message=seen.absent))
    if seen.standing in _OURS:
        waits = _waiting(status, f"waits for stable: {seen.stable_empty}")
        return waits if seen.stable_empty else model.Decision(status=status)
    if status.paused or _is_old(status, seen):
        old = f"waits for a new version of {spec.canary}: what it has is what was replaced"
        return _waiting(status, "paused before the first step" if status.paused else old)
    if not seen.ready and status.revisions and now_s - status.since_s > spec.deadline_s:
        why = f"not ready within {spec.deadline_s:g} s: {seen.unready}"
        return _failed(status, Why.DEADLINE, why, News.ROLLED_BACK, now_s)
    if not seen.ready:
        return _waiting(status, f"waits for the canary: {seen.unready}")
    moved = _moved(status, Phase.PROGRESSING, spec.weights[0], now_s, "not checked yet")
    return model.Decision(status=moved, said=(_said(News.STARTED, f"{spec.canary} gets {moved.weight} %"),))


def _waiting(status: model.Status, message: str) -> model.Decision:
    return model.Decision(status=dataclasses.replace(status, why=Why.INITIALIZING, message=message))


def _progressing(spec: model.Spec, status: model.Status, seen: model.Seen, now_s: float) -> model.Decision:
    if seen.check is None:
        return model.Decision(status=status)
    check = seen.check
    if not seen.ready:
        check = model.Check(passed=False, message=seen.unready)
    counted = dataclasses.replace(status, iterations=status.iterations + 1, message=check.message)
    if not check.passed:
        return _halted(spec, counted, now_s)
    if status.paused:
        return model.Decision(status=counted)
    most = spec.weights[-1]
    if status.weight == most:
        moved = _moved(counted, Phase.PROMOTING, model.ALL, now_s, check.message)
        return model.Decision(status=moved, said=(_said(News.PROMOTING, f"all traffic goes to {spec.canary}"),))
    # A weight beyond the most is of a spec that was changed meanwhile.
    weight = next((each for each in spec.weights if each > status.weight), most)
    moved = _moved(counted, Phase.PROGRESSING, weight, now_s, check.message)
    return model.Decision(status=moved, said=(_said(News.ADVANCED, f"{spec.canary} gets {weight} %: {check.message}"),))


def _halted(spec: model.Spec, status: model.Status, now_s: float) -> model.Decision:
    counted = dataclasses.replace(status, failed_checks=status.failed_checks + 1)
    told = f"{counted.failed_checks} of {spec.threshold} failed checks: {counted.message}"
    if counted.failed_checks >= spec.threshold:
        return _failed(counted, Why.CHECKS_FAILED, told, News.ROLLED_BACK, now_s)
    halted = dataclasses.replace(counted, message=told)
    return model.Decision(status=halted, said=(_said(News.HALTED, f"{told}; stays at {counted.weight} %"),))


def _promoted(spec: model.Spec, status: model.Status, seen: model.Seen, now_s: float) -> model.Decision:
    message = f"all traffic goes to {spec.canary}; {status.message}"
    done = dataclasses.replace(
        status,
        phase=Phase.SUCCEEDED,
        retired=status.retired if seen.stable else _retired(status, frozenset({""})),
        since_s=now_s,
        paused=False,
        why=Why.SUCCEEDED,
        message=message,
    )
    return model.Decision(status=done, said=(_said(News.PROMOTED, message),))


def _after(status: model.Status, seen: model.Seen) -> model.Decision:
    """Say so if the weights are no longer those that it ended with."""
    if seen.standing in _THEIRS and status.why is not Why.WEIGHTS_CHANGED:
        message = f"{_CHANGED}; before that: {status.message}"
        changed = dataclasses.replace(status, why=Why.WEIGHTS_CHANGED, message=message)
        return model.Decision(status=changed, said=(_said(News.LEFT_ALONE, message),))
    return model.Decision(status=status)


def _failed(status: model.Status, why: model.Why, message: str, news: model.News, now_s: float) -> model.Decision:
    moved = _moved(status, Phase.FAILED, 0, now_s, message)
    ended = dataclasses.replace(moved, paused=False, why=why)
    return model.Decision(status=ended, said=(_said(news, f"all traffic goes back to stable: {message}"),))


def _left_alone(status: model.Status, message: str, now_s: float) -> model.Decision:
    """End without a word to the route: ``step`` stays, so nothing is written."""
    ended = dataclasses.replace(
        status, phase=Phase.FAILED, since_s=now_s, paused=False, why=Why.WEIGHTS_CHANGED, message=message
    )
    return model.Decision(status=ended, said=(_said(News.LEFT_ALONE, message),))


def _moved(status: model.Status, phase: model.Phase, weight: int, now_s: float, message: str) -> model.Status:
    return dataclasses.replace(
        status,
        phase=phase,
        step=status.step + 1,
        weight=weight,
        since_s=now_s,
        why=model.Why(phase.value) if phase is not Phase.FAILED else status.why,
        message=message,
    )


def _said(news: model.News, note: str) -> model.Said:
    return model.Said(news=news, note=note)
