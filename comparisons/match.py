"""Who sent what, held against what arrived: false allows, false denies, and how long they lasted.

Here because this is where truth and contender meet. Truth is what the programs in the pods wrote down (``actor``) and
what the scenario says of their rights; an attempt has passed if the server's program got it, whatever anybody says.
Pure: lines and rights in, a run out.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from comparisons import results

_MS = 1e6
PICTURE_PACKETS = 400
"""In one picture; more cannot be told apart. The counts are of all."""
FOREVER_NS = 1 << 63


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """A caller may do something, for a time."""

    who: str
    from_ns: int = 0
    until_ns: int = FOREVER_NS
    method: str = ""
    """Empty: any."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Something that was so for a time: an owner, a belief, a cut."""

    lane: str
    text: str
    from_ns: int
    until_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Whom a contender took an address for."""

    address: str
    name: str
    from_ns: int
    until_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a scenario did in one run."""

    accounts: Mapping[str, str]
    """Whose service account each caller has."""
    rights: Sequence[Right]
    since_ns: int
    """When a window could begin: durations count from here."""
    from_ns: int = 0
    """Attempts before that are not judged; 0: before ``since_ns``."""
    until_ns: int
    address: str = ""
    """The one whose owners the picture shows."""
    stretches: Sequence[Stretch] = ()
    marks: Sequence[tuple[int, str]] = ()
    plan: Mapping[str, float | int | str] = dataclasses.field(default_factory=dict)
    pods: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Who called from which pod, if that has another name."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt and what became of it."""

    who: str
    sent_ns: int
    method: str
    got_ns: int = 0
    """0: the server never got it."""
    ended: bool = False
    peer: str = ""
    identity: str = ""
    answer: str = ""
    """What the caller saw: a status, or the name of an error."""


def attempts(lines: Iterable[str]) -> list[Attempt]:
    """Read what all programs wrote. A line that was cut off by a pod's end is no attempt."""
    made: dict[str, Attempt] = {}
    arrived = []
    for line in lines:
        words = line.split()
        if len(words) < 4 or not words[0].isdigit():
            continue
        at_ns, what, name = int(words[0]), words[1], words[2]
        if what == "sent":
            made[name] = Attempt(who=name.partition(":")[0], sent_ns=at_ns, method=words[3])
        elif what == "got" and len(words) >= 6:
            arrived.append((at_ns, name, words[3], words[5]))
        elif what in {"answered", "refused"} and name in made:
            made[name].ended, made[name].answer = True, words[3]
    for at_ns, name, peer, identity in arrived:
        if name in made and at_ns >= made[name].sent_ns:  # else of a void run, which is played again
            made[name].got_ns, made[name].peer, made[name].identity = at_ns, peer, identity
    return sorted(made.values(), key=lambda it: it.sent_ns)


def may(rights: Iterable[Right], it: Attempt) -> bool:
    """Tell whether an attempt was entitled when it was made."""
    return any(
        right.who == it.who and right.from_ns <= it.sent_ns < right.until_ns and right.method in ("", it.method)
        for right in rights
    )


def run(
    number: int, played: Played, found: Sequence[Attempt], beliefs: Sequence[Belief] = (), tolerance_ms: float = 0.0
) -> results.Run:
    """Judge all attempts of a run. ``tolerance_ms``: what lasts no longer, and was over before the end, is no fault."""
    from_ns = played.from_ns or played.since_ns
    judged = [it for it in found if from_ns <= it.sent_ns < played.until_ns]
    entitled = [it for it in judged if may(played.rights, it)]
    others = [it for it in judged if not may(played.rights, it)]
    wrong = [it for it in others if it.got_ns]
    denied = [it for it in entitled if it.ended and not it.got_ns]
    last_ns = max((it.got_ns for it in wrong), default=0)
    sent_ns = max((it.sent_ns for it in wrong), default=0)  # what a connection carried last may arrive after its end
    refused = any(it.ended and not it.got_ns and it.sent_ns > sent_ns for it in found if not may(played.rights, it))
    named = [_named(it, played, beliefs) for it in judged if it.got_ns]
    window_ms = round((last_ns - played.since_ns) / _MS, 3) if wrong else 0.0
    closed = not wrong or refused
    lag_ms = round((max(it.sent_ns for it in denied) - played.since_ns) / _MS, 3) if denied else 0.0
    late = bool(denied) and not (tolerance_ms and lag_ms <= tolerance_ms and _admitted_after(denied, entitled))
    return results.Run(
        number=number,
        outcome=_outcome(wrong=bool(wrong) and not (closed and window_ms <= tolerance_ms), denied=late),
        plan=dict(played.plan),
        attempts=len(judged),
        entitled=len(entitled),
        passed=sum(bool(it.got_ns) for it in judged),
        false_allows=len(wrong),
        false_denies=len(denied),
        denied_as=dict(sorted(collections.Counter(it.answer for it in denied).items())),
        window_ms=window_ms,
        closed=closed,
        lag_ms=lag_ms,
        named_right=named.count("right"),
        named_wrong=named.count("wrong"),
        unnamed=named.count(""),
    )


def _admitted_after(denied: Sequence[Attempt], entitled: Sequence[Attempt]) -> bool:
    """Tell whether everybody who was refused passed later on."""
    last_ns = {it.who: it.sent_ns for it in denied}
    passed_ns = {it.who: it.sent_ns for it in entitled if it.got_ns}
    return all(passed_ns.get(who, 0) > at_ns for who, at_ns in last_ns.items())


def _outcome(*, wrong: bool, denied: bool) -> results.Outcome:
    """Letting in is the worse of two faults."""
    if wrong:
        return "lets_in"
    return "keeps_out" if denied else "right"


def _named(it: Attempt, played: Played, beliefs: Sequence[Belief]) -> str:
    """Compare whom the contender took the caller for with who it was: by certificate, else by address."""
    if it.identity not in ("", "-"):
        return "right" if it.identity.rpartition("/sa/")[2] == played.accounts.get(it.who) else "wrong"
    for belief in beliefs:
        if belief.address == it.peer and belief.from_ns <= it.got_ns < belief.until_ns:
            return "right" if belief.name == played.pods.get(it.who, it.who) else "wrong"
    return ""


def picture(number: int, played: Played, found: Sequence[Attempt], beliefs: Sequence[Belief] = ()) -> results.Timeline:
    """Draw a run, from its beginning to its end."""
    start_ns, from_ns = played.since_ns, played.from_ns or played.since_ns

    def ms(at_ns: int) -> float:
        return round((min(max(at_ns, from_ns), played.until_ns) - start_ns) / _MS, 2)

    shown = [it for it in found if from_ns <= it.sent_ns < played.until_ns and (it.ended or it.got_ns)]
    believed = [
        Stretch(lane="belief", text=it.name, from_ns=it.from_ns, until_ns=it.until_ns)
        for it in beliefs
        if it.address == played.address and it.until_ns > from_ns and it.from_ns < played.until_ns
    ]
    step = -(-len(shown) // PICTURE_PACKETS) or 1
    return results.Timeline(
        run=number,
        spans=tuple(
            results.Span(lane=it.lane, text=it.text, from_ms=ms(it.from_ns), to_ms=ms(it.until_ns))
            for it in (*played.stretches, *believed)
        ),
        marks=tuple(results.Mark(at_ms=ms(at_ns), text=text) for at_ns, text in played.marks),
        packets=tuple(
            results.Packet(at_ms=ms(it.sent_ns), who=it.who, entitled=may(played.rights, it), passed=bool(it.got_ns))
            for it in shown[::step]
        ),
    )
