"""What users may write in ``config.ipseity.io/*``: read strictly, and refused with the values that are allowed.

Here because the webhook refuses a bad value and the cluster picture acts on a good one, and both must read alike.
"""

import enum


class InboundMode(enum.StrEnum):
    """What a workload does with connections where no AuthorizationPolicy speaks."""

    PERMISSIVE = "permissive"
    """Meshed or not, anybody."""
    STRICT = "strict"
    """Anybody meshed; plaintext is refused."""
    DENY = "deny"
    """Nobody, unless a policy admits."""
    AUDIT = "audit"
    """Anybody; what ``strict`` and the policies would refuse is logged and counted."""


class OutboundMode(enum.StrEnum):
    """What a workload's proxy does with destinations that are not meshed."""

    PERMISSIVE = "permissive"
    STRICT = "strict"
    """Plaintext is refused."""
