"""What can go wrong in the lab, named by what the caller can do about it.

LabError                 the root; carries a hint for the person who reads it
+-- ProgramFailed        runc, nft or another program said no; quotes its last words
+-- PodRefused           this pod cannot start as it is written: an Event and a waiting reason, never a crash
+-- Exhausted            no address is free until another pod ends: wait
"""


class LabError(Exception):
    """The root of what the lab raises. ``hint`` is one line: what to do about it; may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ProgramFailed(LabError):  # noqa: N818  # it reads as what happened
    """A program that the lab runs ended with an error."""


class PodRefused(LabError):  # noqa: N818  # it reads as what happened
    """The pod asks for something that is not there (yet). ``reason`` is the word that goes into its status."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Exhausted(LabError):  # noqa: N818  # it reads as what happened
    """Every address of the node's range is taken."""
