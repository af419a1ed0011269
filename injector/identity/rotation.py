"""How a trust anchor is replaced while everything runs: a state machine over what is, with the reasons to wait.

    settled     one anchor in the Secrets                         -> make the next one
    published   the next one is in the bundle                     -> when every pod trusts it: issuer below it
    switched    the issuer is below the next one                  -> when no pod needs the old one: drop the old one
    (settled)

Here because the order is the whole point: a leaf below an anchor that a peer does not trust yet, or no longer, is a
failed connection. Nothing is remembered: the phase is read off the Secrets each time, so a plan that was interrupted
anywhere goes on from there, and a step whose conditions do not hold is not in the plan. Pure. Leaves out doing it
(``rotating``) and rotating the issuer alone, which needs no waiting: same anchor, new issuer, one step.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence

from injector.identity import readiness, status


class Phase(enum.StrEnum):
    """Where a rotation stands."""

    SETTLED = "settled"
    PUBLISHED = "published"
    SWITCHED = "switched"
    UNKNOWN = "unknown"
    """The Secrets do not fit together: a person has to look."""


class Step(enum.StrEnum):
    """What a person, or `rotate --apply`, does next."""

    MAKE_ANCHOR = "make-anchor"
    """Makes Secret ``ipseity-trust-anchor-next``; the bundle then has both."""
    SWITCH_ISSUER = "switch-issuer"
    """Replaces the issuer with one below the next anchor."""
    DROP_OLD = "drop-old"
    """Moves the next anchor to the place of the old one; the bundle then has one."""
    MAKE_ISSUER = "make-issuer"
    """Replaces the issuer with one below the same anchor."""


class Goal(enum.StrEnum):
    """What is to be rotated."""

    ANCHOR = "anchor"
    ISSUER = "issuer"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is, at one moment. Certificates are SHA-256."""

    anchor: str
    """In Secret ``ipseity-trust-anchor``; empty: there is none."""
    upcoming: str
    """In ``ipseity-trust-anchor-next``; empty: no rotation is under way."""
    issuer_anchor: str
    """The one of both that the issuer in the Secret is below; empty: neither."""
    anchor_key: bool
    upcoming_key: bool
    """Whether their keys are in the Secrets: without, the new issuer is brought by whoever has them."""
    statuses: Mapping[str, status.Status]
    settle_s: float = readiness.SETTLE_S


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The step that is due, or why to wait."""

    phase: Phase
    step: Step | None
    """None: rotated, or something has to be waited for, or done by hand."""
    waits: tuple[str, ...] = ()
    manual: str = ""
    """What a person has to do, since a key is not in the Secrets."""
    ahead: tuple[Step, ...] = ()
    """The steps after it."""

    @property
    def due(self) -> bool:
        """Whether ``step`` can be taken now."""
        return self.step is not None and not self.waits and not self.manual


def phase_of(known: Known) -> Phase:
    """Read off where the rotation stands."""
    if not known.anchor or not known.issuer_anchor:
        return Phase.UNKNOWN
    if not known.upcoming:
        return Phase.SETTLED
    if known.issuer_anchor == known.upcoming:
        return Phase.SWITCHED
    return Phase.PUBLISHED


def plan(known: Known, goal: Goal, *, now_s: float) -> Plan:
    """Say what is next. A rotation of the anchor that is under way is finished before anything else is begun."""
    match phase_of(known), goal:
        case Phase.UNKNOWN, _:
            return Plan(
                phase=Phase.UNKNOWN,
                step=None,
                manual="bring anchor and issuer together: the issuer in the Secret is below neither anchor",
            )
        case Phase.SETTLED, Goal.ISSUER:
            manual = "" if known.anchor_key else "bring the new issuer: the anchor's key is not in its Secret"
            return Plan(phase=Phase.SETTLED, step=Step.MAKE_ISSUER, manual=manual)
        case Phase.SETTLED, Goal.ANCHOR:
            waits = _silence(known.statuses, now_s=now_s)
            ahead = (Step.SWITCH_ISSUER, Step.DROP_OLD)
            return Plan(phase=Phase.SETTLED, step=Step.MAKE_ANCHOR, waits=waits, ahead=ahead)
        case Phase.PUBLISHED, _:
            return _published(known, now_s=now_s)
        case _:
            return _switched(known, now_s=now_s)


def _published(known: Known, *, now_s: float) -> Plan:
    waits = _silence(known.statuses, now_s=now_s)
    statuses = status.telling(known.statuses, now_s=now_s)
    moments = [each.everywhere_since_s.get(known.upcoming) for each in statuses.values() if not each.left]
    since_s = max((moment for moment in moments if moment is not None), default=None)
    everywhere_s = since_s if all(moment is not None for moment in moments) else None
    summaries = [each.summary() for each in status.distinct(statuses).values()]
    waits += readiness.to_use(known.upcoming, summaries, everywhere_s, now_s=now_s, settle_s=known.settle_s)
    manual = "" if known.upcoming_key else "bring an issuer below the next anchor: its key is not in its Secret"
    return Plan(phase=Phase.PUBLISHED, step=Step.SWITCH_ISSUER, waits=waits, manual=manual, ahead=(Step.DROP_OLD,))


def _switched(known: Known, *, now_s: float) -> Plan:
    if known.anchor == known.upcoming:  # interrupted between its two writes
        return Plan(phase=Phase.SWITCHED, step=Step.DROP_OLD)
    waits = list(_silence(known.statuses, now_s=now_s))
    statuses = status.telling(known.statuses, now_s=now_s)
    for name, each in sorted(statuses.items()):
        if not each.left and each.issuer_anchor != known.upcoming:
            waits.append(f"{name} does not use the new issuer yet")
    summaries = [each.summary() for each in status.distinct(statuses).values()]
    waits += readiness.to_drop(known.anchor, summaries, known.issuer_anchor)
    return Plan(phase=Phase.SWITCHED, step=Step.DROP_OLD, waits=tuple(dict.fromkeys(waits)))


def _silence(statuses: Mapping[str, status.Status], *, now_s: float) -> tuple[str, ...]:
    """Say where nobody tells what pods hold: then nothing is known, which is no reason to go on."""
    telling = {name: each for name, each in status.telling(statuses, now_s=now_s).items() if not each.left}
    stale = [name for name, each in sorted(telling.items()) if status.is_stale(each, now_s=now_s)]
    waits = [f"{name} has said nothing for {now_s - telling[name].time_s:.0f} s" for name in stale]
    if len(stale) == len(telling):
        waits.append("no control plane says what pods hold now")
    return tuple(waits)


def describe(made: Plan) -> Sequence[str]:
    """Put a plan into lines for a person."""
    lines = [f"phase: {made.phase}"]
    if made.step:
        lines.append(f"next:  {made.step}{'' if made.due else ' (not yet)'}")
    lines += [f"wait:  {each}" for each in made.waits]
    if made.manual:
        lines.append(f"you:   {made.manual}")
    lines += [f"then:  {each}" for each in made.ahead]
    return lines
