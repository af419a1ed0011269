"""A Canary as values: what is wanted, how it stands, what was seen, what was decided.

Here because the decision (``steps``) is a function of these and of nothing else. Field names of Flagger where it has
the field. Weights are percent of the canary's part; times are seconds since the epoch unless a name says otherwise.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from injector import names

PLURAL: Final = "canaries"
VERSION: Final = "v1alpha1"
PATH: Final = f"/apis/{names.GROUP}/{VERSION}/{PLURAL}"
KIND: Final = "Canary"
ORDER: Final = f"{names.GROUP}/rollout"
"""Annotation on a Canary: an ``Order``."""
RESTART: Final = f"{names.GROUP}/rollout-restart"
"""Annotation on a Canary: any text; another one begins anew with the same version."""
ALL: Final = 100
MOST_REVISIONS: Final = 64
"""That are told apart: more at once than anybody has, and a status has room for so many."""


class Provider(enum.StrEnum):
    """Where measurements come from."""

    PROXIES = "proxies"
    """The canary's own sidecars, asked directly."""
    PROMETHEUS = "prometheus"
    """What the callers' sidecars have counted, as Prometheus has it."""


class Metric(enum.StrEnum):
    """Flagger's two built-in ones."""

    SUCCESS = "request-success-rate"
    """Percent of requests that did not fail."""
    DURATION = "request-duration"
    """The 99th percentile, in milliseconds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a metric may be, both ends included."""

    metric: Metric
    least: float | None = None
    most: float | None = None
    window_s: float
    """Of a query to Prometheus."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What is wanted."""

    route: str
    """HTTPRoute of the same namespace whose weights are moved."""
    stable: str
    canary: str
    """Services of the same namespace: the backends between which they are moved."""
    provider: Provider
    interval_s: float
    threshold: int
    """So many failed checks end it."""
    weights: tuple[int, ...]
    """Rising; each is held for one passed check, the last one is the most that is not a promotion."""
    least_requests: int
    """A check of fewer has failed."""
    ranges: tuple[Range, ...]
    deadline_s: float
    """How long the canary may take until it can be sent to."""


class Phase(enum.StrEnum):
    """Flagger's words."""

    INITIALIZING = "Initializing"
    """The canary has no traffic; it is waited for until it can be sent to."""
    PROGRESSING = "Progressing"
    PROMOTING = "Promoting"
    """Decided, but perhaps not in the route yet."""
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Why(enum.StrEnum):
    """Why a rollout stands as it does: reason of the condition Promoted."""

    INITIALIZING = "Initializing"
    NO_ROUTE = "NoRoute"
    PROGRESSING = "Progressing"
    PROMOTING = "Promoting"
    SUCCEEDED = "Succeeded"
    CHECKS_FAILED = "ChecksFailed"
    DEADLINE = "ProgressDeadlineExceeded"
    ABORTED = "Aborted"
    WEIGHTS_CHANGED = "WeightsChanged"
    """By somebody else: what that one wrote stays."""


class Order(enum.StrEnum):
    """What a person wants: the annotation ``ORDER``."""

    PAUSE = "pause"
    """No further step. Checks go on, and a bad version is still rolled back."""
    RESUME = "resume"
    """As without the annotation."""
    ABORT = "abort"
    """All traffic back to stable, now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How it stands; with the route's weights all that is known from one moment to the next."""

    phase: Phase
    rollout: str
    """What is being rolled out: a digest of the spec's two Services and its route, ``-`` and one of ``RESTART``."""
    revisions: frozenset[str]
    """Versions of the canary's pods (``pod-template-hash``) that this is about; empty: none seen yet."""
    retired: tuple[str, ...] = ()
    """Versions that stable's pods had in this rollout and those before, the latest last, at most ``MOST_REVISIONS``; an
    empty one: pods that tell none were replaced. A canary that has no other is not new."""
    step: int
    """Grows with each change of weight that is decided, over all rollouts. Whoever has an older one may not write."""
    weight: int
    """The canary's, as it should be."""
    failed_checks: int = 0
    iterations: int = 0
    since_s: float
    """When phase or weight last changed; of one that waits for its canary: since when, from the first pod on."""
    paused: bool = False
    aborted: bool = False
    """The order to abort stands there, and was obeyed: weights that somebody writes since are theirs again."""
    why: Why
    message: str


class Standing(enum.Enum):
    """The route's weights, compared with the status."""

    APPLIED = "applied"
    BEHIND = "behind"
    """They are as we wrote them for an earlier step, or there are none of ours yet: ours to write."""
    RESET = "reset"
    """There are none any more, as when a tool applies the route without weights: ours to write, too."""
    FOREIGN = "foreign"
    """Somebody else has changed them since we wrote this step."""
    OVERTAKEN = "overtaken"
    """Somebody else has changed them before we could write this step."""
    ABSENT = "absent"
    """There is no such route, or no rule of it has both backends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judgement of a canary's traffic."""

    passed: bool
    message: str
    """What was measured, or why nothing was."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What there is at one moment."""

    rollout: str
    order: Order
    revisions: frozenset[str]
    """Of the canary's pods that are not ending."""
    ready: bool
    """The canary can be sent to: some pod is ready, and all are of one version."""
    unready: str = ""
    """Why not."""
    stable: frozenset[str] = frozenset()
    """Versions of stable's pods."""
    stable_empty: str = ""
    """Why nothing can be sent to stable; empty: it can."""
    canary_empty: str = ""
    """The same of the canary."""
    taken: bool = False
    """The route sends all to the canary, and nobody to stable."""
    standing: Standing
    absent: str = ""
    """What is not there."""
    check: Check | None = None
    """If one was due."""


class News(enum.StrEnum):
    """What is worth an Event: its reason."""

    BEGUN = "RolloutBegun"
    STARTED = "RolloutStarted"
    ADVANCED = "WeightMoved"
    HALTED = "CheckFailed"
    PROMOTING = "Promoting"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    LEFT_ALONE = "LeftAlone"
    RESET = "WeightsReset"

    @property
    def warning(self) -> bool:
        """Whether a person should look."""
        return self in {News.HALTED, News.ROLLED_BACK, News.LEFT_ALONE, News.RESET}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One piece of news."""

    news: News
    note: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The status from now on, and what to say of it."""

    status: Status
    said: tuple[Said, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A canary's traffic in one window."""

    requests: float = 0.0
    success: float | None = None
    """Percent; None: not known."""
    p99_ms: float | None = None
    """None: not known."""
    problem: str = ""
    """Why it is not known; nothing else of this counts then."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What proxies have counted in one window, added up."""

    requests: int
    failed: int
    within: Mapping[float, int]
    """Requests answered within so many milliseconds, cumulative."""
