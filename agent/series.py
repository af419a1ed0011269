"""The totals of one label set, and the lines of a scrape that they become.

Here, apart from ``metrics``, because what is added up and how a histogram is written has one reason to change (the
counters of ``model.Counters``), and which label set it belongs to has another. Leaves out names, caps and expiry.
"""

import operator
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from agent import catalogue, model

_US_PER_S: Final = 1_000_000
_NO_FAILURE: Final = (0,) * len(model.FailCause)
_CAUSES: Final = tuple(cause.name.lower() for cause in model.FailCause)
_EGRESS: Final = model.Direction.EGRESS


class Sample(NamedTuple):
    """One line of a scrape, without its metric's name and its series' labels."""

    suffix: str
    extra: tuple[str, str] | None
    """A label besides the series' own: ``cause`` or ``le``."""
    value: float


class Saved(msgspec.Struct, frozen=True):
    """One series in the checkpoint."""

    labels: tuple[str, ...]
    last_boot_ns: int
    totals: dict[str, int]
    failed: list[int]
    rtt: list[int]
    rtt_us: int
    connect: list[int]
    connect_us: int


class Distribution:
    """A histogram's totals, counted per bucket."""

    __slots__ = ("counts", "sum_us")

    def __init__(self, counts: Sequence[int], sum_us: int = 0) -> None:
        self.counts = list(counts)
        """Not cumulative; the last bucket has no upper bound."""
        self.sum_us = sum_us

    def add(self, counts: tuple[int, ...], sum_us: int) -> None:
        """Add one edge's differences."""
        self.counts = list(map(operator.add, self.counts, counts))
        self.sum_us += sum_us

    def samples(self, bounds: Sequence[str]) -> Iterator[Sample]:
        """Give its lines in seconds; none before the first sample: UDP never has one, and few ingress edges do."""
        if not any(self.counts):
            return
        total = 0
        for bound, count in zip(bounds, self.counts, strict=True):
            total += count
            yield Sample("_bucket", ("le", bound), total)
        yield Sample("_count", None, total)
        yield Sample("_sum", None, self.sum_us / _US_PER_S)


class Series:
    """The totals of one label set. Sent and received are seen from the source, whichever end is on this node."""

    __slots__ = (
        "closed",
        "connect",
        "failed",
        "labels",
        "last_boot_ns",
        "opened",
        "received_bytes",
        "received_segments",
        "retransmits",
        "rtt",
        "sent_bytes",
        "sent_segments",
        "workloads",
    )

    def __init__(self, labels: tuple[str, ...], workloads: tuple[tuple[str, str, str], ...], buckets: int) -> None:
        self.labels = labels
        self.workloads = workloads
        """Those that must be gone before the series may go: (namespace, kind, name)."""
        self.last_boot_ns = 0
        """When something was last added."""
        self.sent_bytes = self.received_bytes = self.sent_segments = self.received_segments = 0
        self.opened = self.closed = self.retransmits = 0
        self.failed = list(_NO_FAILURE)
        self.rtt = Distribution((0,) * buckets)
        self.connect = Distribution((0,) * buckets)

    def add(self, direction: model.Direction, counters: model.Counters) -> None:
        """Add one edge's differences."""
        if direction is _EGRESS:
            self.sent_bytes += counters.sent_bytes
            self.received_bytes += counters.received_bytes
            self.sent_segments += counters.sent_segments
            self.received_segments += counters.received_segments
        else:
            self.sent_bytes += counters.received_bytes
            self.received_bytes += counters.sent_bytes
            self.sent_segments += counters.received_segments
            self.received_segments += counters.sent_segments
        self.opened += counters.opened
        self.closed += counters.closed
        self.retransmits += counters.retransmits
        if counters.failed != _NO_FAILURE:
            self.failed = list(map(operator.add, self.failed, counters.failed))
        if counters.rtt_us_buckets:
            self.rtt.add(counters.rtt_us_buckets, counters.rtt_us_sum)
        if counters.connect_us_buckets:
            self.connect.add(counters.connect_us_buckets, counters.connect_us_sum)

    def samples(self, metric: catalogue.Metric, bounds: Sequence[str]) -> Iterator[Sample]:
        """Give the lines of one metric."""
        if metric is catalogue.RTT:
            yield from self.rtt.samples(bounds)
        elif metric is catalogue.CONNECT:
            yield from self.connect.samples(bounds)
        elif metric is catalogue.FAILED:
            for cause, count in zip(_CAUSES, self.failed, strict=True):
                if count:
                    yield Sample("_total", ("cause", cause), count)
        else:
            yield Sample("_total", None, getattr(self, TOTALS[metric.name]))

    def save(self) -> Saved:
        """Give everything that the next agent needs to go on."""
        return Saved(
            labels=self.labels,
            last_boot_ns=self.last_boot_ns,
            totals={name: getattr(self, name) for name in TOTALS.values()},
            failed=self.failed,
            rtt=self.rtt.counts,
            rtt_us=self.rtt.sum_us,
            connect=self.connect.counts,
            connect_us=self.connect.sum_us,
        )

    def resume(self, saved: Saved) -> None:
        """Go on from what an agent before this one saved; ValueError if it does not fit."""
        lengths = (len(saved.failed), len(saved.rtt), len(saved.connect))
        if lengths != (len(self.failed), len(self.rtt.counts), len(self.connect.counts)):
            raise ValueError(f"saved series has {lengths} causes and buckets")
        if saved.totals.keys() != set(TOTALS.values()):
            raise ValueError(f"saved series has totals {sorted(saved.totals)}")
        for name, total in saved.totals.items():
            setattr(self, name, total)
        self.last_boot_ns = saved.last_boot_ns
        self.failed = saved.failed
        self.rtt = Distribution(saved.rtt, saved.rtt_us)
        self.connect = Distribution(saved.connect, saved.connect_us)


TOTALS: Final = {
    catalogue.SENT.name: "sent_bytes",
    catalogue.RECEIVED.name: "received_bytes",
    catalogue.SENT_SEGMENTS.name: "sent_segments",
    catalogue.RECEIVED_SEGMENTS.name: "received_segments",
    catalogue.OPENED.name: "opened",
    catalogue.CLOSED.name: "closed",
    catalogue.RETRANSMITS.name: "retransmits",
}
"""Which total a plain counter shows; also what the checkpoint keeps."""
