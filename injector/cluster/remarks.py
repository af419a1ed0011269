"""What is wrong with Services' annotations, told as Events: what ``kubectl describe service`` shows.

Here because whoever wrote an annotation looks at the Service first. Each complaint is told once for as long as it
lasts. Leaves out what is wrong (``balancing``) and writing (``kube.events``).
"""

from collections.abc import Callable, Mapping

from injector.cluster import objects
from injector.kube import events


class Remarks:
    """Remembers what was told."""

    def __init__(self, tell: Callable[[events.Event], None]) -> None:
        self._tell = tell
        self._told: frozenset[tuple[str, str, str]] = frozenset()

    def update(self, wrong: Mapping[str, objects.ServiceRecord]) -> None:
        """Take all Services of which something is wrong now, by key."""
        now = frozenset((key, each.uid, text) for key, each in wrong.items() for text in each.complaints)
        for key, uid, text in sorted(now - self._told):
            namespace, _, name = key.partition("/")
            self._tell(
                events.Event(
                    about=events.Object(kind="Service", namespace=namespace, name=name, uid=uid),
                    kind=events.Kind.WARNING,
                    reason="InvalidAnnotation",
                    action="Balance",
                    note=text,
                )
            )
        self._told = now
