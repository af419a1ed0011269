"""Kubernetes quantities ("250m", "64Mi") as exact numbers.

Here because resource limits and ``resourceFieldRef`` speak them. Pure.
"""

import fractions
import re

SUFFIXES = {
    "n": fractions.Fraction(1, 10**9),
    "u": fractions.Fraction(1, 10**6),
    "m": fractions.Fraction(1, 1000),
    "": fractions.Fraction(1),
    **{suffix: fractions.Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": fractions.Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3}))?([a-zA-Z]{0,2})")


def parse(text: str | float) -> fractions.Fraction:
    """Return the number that a quantity stands for; ValueError names what is not one."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match[3] not in SUFFIXES:
        raise ValueError(f"not a quantity: {text!r}")
    return fractions.Fraction(match[1]) * fractions.Fraction(10) ** int(match[2] or 0) * SUFFIXES[match[3]]


def ceiling(text: str | float) -> int:
    """Round up to a whole number, as the API does when it needs one."""
    number = parse(text)
    return -(-number.numerator // number.denominator)
