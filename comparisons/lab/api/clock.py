"""The server's only look at the wall clock; everything else gets ``now`` as an argument.

Kubernetes writes whole seconds in UTC, and microseconds where the type is MicroTime (leases, events' ``eventTime``).
"""

import datetime


def wall() -> datetime.datetime:
    """Now, in UTC."""
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251  # the one place


def rfc3339(moment: datetime.datetime) -> str:
    """The form of ``metav1.Time``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(moment: datetime.datetime) -> str:
    """The form of ``metav1.MicroTime``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime.datetime:
    """The moment that a Time or MicroTime names; raises ValueError."""
    return datetime.datetime.fromisoformat(text)
