"""A measured number beside the limit that was promised for it, and how many of them are printed and counted."""

import dataclasses
import os
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number and the limit that was promised for it."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def row(self) -> str:
        """One line of the table."""
        sign, verdict = (">=" if self.at_least else "<="), ("ok" if self.holds else "NOT MET")
        return f"{self.name:44} {self.value:10.3f} {self.unit:8} {sign} {self.limit:<8g} {verdict:8} {self.detail}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many figures were measured, and how many of them hold."""

    kept: int
    total: int

    @property
    def holds(self) -> bool:
        """Whether every promise is kept."""
        return self.kept == self.total

    @property
    def said(self) -> str:
        """In a sentence."""
        return f"{self.kept} of {self.total} figures within their limits"


def printed(found: Iterable[Figure], indent: str = "") -> Tally:
    """Print each figure as soon as it is measured."""
    kept = total = 0
    for each in found:
        print(f"{indent}{each.row()}", flush=True)
        kept, total = kept + each.holds, total + 1
    return Tally(kept=kept, total=total)


def machine() -> str:
    """Say what else the machine was doing: on a busy one, rates and tails are noise."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
