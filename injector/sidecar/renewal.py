"""When a sidecar asks for a certificate. Pure: ``now_s`` is an argument, and so is chance.

Here because a thousand pods that ask at one moment are an outage of their own: every delay is spread. Times are seconds
of CLOCK_BOOTTIME, which goes on while a machine sleeps; ``chance`` is uniform in [0, 1).
"""

from typing import Final, NamedTuple

_SHARE: Final = 0.7
"""Of a certificate's life. Linkerd's; leaves 7 h of a day for an outage of the control plane."""
_SPREAD: Final = 0.05
"""Of a life, to both sides."""
_FLOOR_S: Final = 5.0
"""Between two certificates, however short they live."""
_FIRST_S: Final = 1.0
_STARTING_MAX_S: Final = 10.0
"""While there is none: the pod waits for it."""
_SERVING_MAX_S: Final = 60.0
_LEFT_SHARE: Final = 0.1
"""Of what is left of a certificate: as its end nears, attempts come closer together."""
_TRUST_SHARE: Final = 0.1
_TRUST_MAX_S: Final = 60.0


class Certificate(NamedTuple):
    """What was issued."""

    age_s: float
    left_s: float


def after_success(now_s: float, issued: Certificate, chance: float) -> float:
    """Tell when to renew. One that is adopted late may be due already."""
    share = _SHARE + _SPREAD * (2 * chance - 1)
    due_in_s = share * (issued.age_s + issued.left_s) - issued.age_s
    return now_s + max(due_in_s, _FLOOR_S if issued.age_s < _FLOOR_S else 0.0)


def after_failure(now_s: float, failures: int, left_s: float | None, chance: float) -> float:
    """Tell when to try again after ``failures`` in a row; ``left_s`` of the certificate in use, None without one."""
    most_s = _STARTING_MAX_S if left_s is None else max(_FIRST_S, min(_SERVING_MAX_S, left_s * _LEFT_SHARE))
    delay_s = min(most_s, _FIRST_S * 2.0 ** min(failures - 1, 10))
    return now_s + delay_s * (0.5 + chance / 2)


def after_new_trust(now_s: float, due_s: float, left_s: float, chance: float) -> float:
    """Tell when to ask anew since the anchors changed: soon, so that the control plane learns what this pod trusts."""
    within_s = min(_TRUST_MAX_S, left_s * _TRUST_SHARE)
    return min(due_s, now_s + within_s * chance)
