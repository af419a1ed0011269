"""How many examples Hypothesis tries: as many as a test asks for, or a share of it under the profile ``brief``."""

import hypothesis

_ALL = 100
"""``max_examples`` of Hypothesis's own default profile, which ``make test`` has; ``make check`` has ``brief``."""


def of(many: int) -> int:
    """Scale down, never up: a test that has a number of its own knows how many are enough."""
    return max(1, many * min(_ALL, hypothesis.settings().max_examples) // _ALL)
