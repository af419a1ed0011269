"""Errors of the mesh, by what the caller can do about them. ``MeshError`` is the root; ``hint`` says what to do.

- ``InvalidAnnotation``: refuse the pod; the message names annotation, value and allowed values
- ``Refused``: a request that must not be granted (a CSR, a token); ``reason`` is a metric label
- ``InvalidPolicy``: say so in the policy's status; change nothing
- ``CannotTell``: a question about something that is not there; ask another way
- ``CannotRun``: the process cannot start or go on; say why and exit 2
"""


class MeshError(Exception):
    """The root. ``hint`` is one line: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidAnnotation(MeshError):  # noqa: N818  # it reads as what happened
    """An annotation's value is not one of those allowed."""


class Refused(MeshError):  # noqa: N818  # it reads as what happened
    """A request that must not be granted."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        """One of a closed list, for a metric's label."""


class InvalidPolicy(MeshError):  # noqa: N818  # it reads as what happened
    """A policy object that says something impossible."""


class CannotTell(MeshError):  # noqa: N818  # it reads as what happened
    """What was asked about is not there, or not known."""


class CannotRun(MeshError):  # noqa: N818  # it reads as what happened
    """The process cannot start or go on."""
