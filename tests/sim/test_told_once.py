"""Random traffic, sweeps, kills and evictions: what was told is never ahead of the truth and in the end equal to it.

The kernel is a fake that charges edges as bpf/tcp.c does; edges.Table is the real one. Left out: names (test_ownership)
and races inside one reading (tests/functional).
"""

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from agent import edges, model, wire
from tests.fakes import kernel

KEYS = [kernel.key(7, local="10.7.0.2", remote=f"10.7.0.{number}", port=8080) for number in range(3, 6)]
SECOND_NS = 10**9
IDLE_NS = 60 * SECOND_NS


class World(stateful.RuleBasedStateMachine):
    """A kernel, a table, and totals as a scrape would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10**15
        self.kernel = kernel.Kernel()
        self.table = edges.Table()
        self.told = (0, 0, 0, 0)
        self.saved = (self.table.dump(), self.told)
        self.truth_sent = self.truth_received = self.opened = self.closed = 0

    @stateful.rule(key=st.sampled_from(KEYS))
    def connect(self, key: wire.Array) -> None:
        self.kernel.establish(key, self.now)
        self.opened += 1

    @stateful.precondition(lambda self: self.kernel.open)
    @stateful.rule(data=st.data(), sent=st.integers(0, 10**6), received=st.integers(0, 10**6))
    def move(self, data: st.DataObject, sent: int, received: int) -> None:
        one = data.draw(st.sampled_from(self.kernel.open))
        one.sent += sent
        one.received += received
        self.truth_sent += sent
        self.truth_received += received

    @stateful.precondition(lambda self: self.kernel.open)
    @stateful.rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.kernel.end(data.draw(st.sampled_from(self.kernel.open)), self.now)
        self.closed += 1

    @stateful.rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND_NS

    @stateful.rule(sweeps=st.booleans(), holds_back=st.booleans(), checkpoint=st.booleans())
    def tick(self, *, sweeps: bool, holds_back: bool, checkpoint: bool) -> None:
        keys, values = self.kernel.edges()
        found = self.table.difference(
            keys, values, pending=self.kernel.pending() if sweeps else {}, idle_before_boot_ns=self.now - IDLE_NS
        )
        held = {found.changes[0].edge.id} if holds_back and found.changes else set()
        for change in found.changes:
            if change.edge.id not in held:
                self.tell(change.counters)
        self.table.commit(found, held_back=held)
        if checkpoint or len(found.idle):
            self.saved = (self.table.dump(), self.told)
            self.kernel.forget(keys[found.idle])

    def tell(self, counters: model.Counters) -> None:
        """Add to the totals; nothing told is ever negative."""
        news = (counters.sent_bytes, counters.received_bytes, counters.opened, counters.closed)
        assert min(news) >= 0
        sent, received, opened, closed = (a + b for a, b in zip(self.told, news, strict=True))
        self.told = (sent, received, opened, closed)

    @stateful.rule()
    def killed_and_restarted(self) -> None:
        dump, self.told = self.saved
        self.table = edges.Table()
        self.table.load(dump)

    @stateful.invariant()
    def never_ahead_of_the_truth(self) -> None:
        truth = (self.truth_sent, self.truth_received, self.opened, self.closed)
        assert all(told <= true for told, true in zip(self.told, truth, strict=True))

    def teardown(self) -> None:
        """When all has ended and been read, every count is exact."""
        for one in list(self.kernel.open):
            self.close_now(one)
        self.tick(sweeps=False, holds_back=False, checkpoint=True)
        assert self.told == (self.truth_sent, self.truth_received, self.opened, self.closed)

    def close_now(self, one: kernel.Connection) -> None:
        self.kernel.end(one, self.now)
        self.closed += 1


World.TestCase.settings = hypothesis.settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
