"""What a proof found. Here because every claim returns one and the runner prints it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a claim holds on this machine, now."""

    holds: bool
    figure: str
    """The one number or sentence that decides; printed last."""
    lines: tuple[str, ...] = ()
    """What was measured, in the order in which a reader wants it."""


class CannotMeasure(Exception):  # noqa: N818  # it reads as what happened
    """The claim could not be put to the test here: neither true nor false. ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
