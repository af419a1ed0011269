"""What a program registers to have a part in ``ipseity check``.

Here because the programs must not import one another, nor the command that asks them all. Leaves out the asking
(``check``) and what is found (``findings``).
"""

import dataclasses
from collections.abc import Callable

from ipseity import findings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one program can check. Cheap to import: ``look`` imports what it needs."""

    order: int
    """Sections are told in this order."""
    only: str
    """The help of the flag ``--NAME``, which asks for this section alone; NAME is the entry point's."""
    settings: type
    """Dataclass of ``ipseity.settings``: what it must be told."""
    look: Callable[..., findings.Section | None]
    """Called with an instance of ``settings``, and ``asked=True`` if its flag was given. None: it has nothing to do
    with this place. May raise an error with a hint, if it was asked."""
