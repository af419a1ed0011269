"""What can go wrong in the agent, named by what the caller can do about it.

    AgentError                  the root; carries a hint for the person who reads it
    +-- KernelRefused           the kernel said no: exit 2 with the hint
    +-- Unavailable             something the agent asked is not there (API, socket): exit 2 with the hint

Bad *data* (a malformed watch event, a short record) is never an exception here: it is a counted value.
Wrong settings are ``ipseity.settings.SettingError``, since every program has settings.
"""


class AgentError(Exception):
    """The root of what the agent raises. ``hint`` is one line: what to do about it; may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class KernelRefused(AgentError):  # noqa: N818  # it reads as what happened
    """The kernel refused a map, a program or an attachment."""


class Unavailable(AgentError):  # noqa: N818  # it reads as what happened
    """Another process or a file that the agent needs is not there."""
