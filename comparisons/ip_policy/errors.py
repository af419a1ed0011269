"""What can go wrong with IP-based policy, named by what the caller can do about it.

PolicyError              the root; carries a hint for the person who reads it
+-- Refused              the kernel or a program of the host said no; quotes its words
+-- NotReady             the agent did not come to enforce anything within its time
"""


class PolicyError(Exception):
    """The root of what IP-based policy raises. ``hint`` is one line: what to do about it; may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Refused(PolicyError):  # noqa: N818  # it reads as what happened
    """nft, or the kernel, did not take what it was told."""


class NotReady(PolicyError):  # noqa: N818  # it reads as what happened
    """The agent ended, or enforced nothing yet when the time was over."""
