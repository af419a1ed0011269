"""Random traffic, sweeps, kills and evictions: what was told is never ahead of the truth and in the end equal to it.

The kernel is a fake that charges edges as bpf/tcp.c does; edges.Table is the real one. Connections come, move and go
also between the parts of one reading. Left out: names (test_ownership), and two processors on one slot
(tests/functional).
"""

import collections
from collections.abc import Callable

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from agent import edges, model, wire
from tests import examples
from tests.fakes import kernel

KEYS = [
    kernel.key(7, local="10.7.0.2", remote=f"10.7.0.{number}", port=8080, direction=number % 2)
    for number in range(3, 7)
]
SECOND_NS = 10**9
IDLE_NS = 60 * SECOND_NS


class World(stateful.RuleBasedStateMachine):
    """A kernel, a table, and totals as a scrape would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10**15
        self.kernel = kernel.Kernel()
        self.table = edges.Table()
        self.told: collections.Counter[str] = collections.Counter()
        self.saved = (self.table.dump(), self.told.copy())
        self.truth: collections.Counter[str] = collections.Counter()

    @stateful.rule(key=st.sampled_from(KEYS), connect_us=st.sampled_from([0, 63, 64, 5003, 2**31]))
    def connect(self, key: wire.Array, connect_us: int) -> None:
        self.now += 1
        self.kernel.establish(key, self.now, connect_us=connect_us)
        self.truth["opened"] += 1
        if key["direction"][0] == model.Direction.EGRESS:
            self.truth["connect_us"] += connect_us
            self.truth[f"connect_{min((connect_us >> 6).bit_length(), wire.HISTOGRAM_BUCKETS - 1)}"] += 1

    @stateful.precondition(lambda self: self.kernel.open)
    @stateful.rule(data=st.data(), sent=st.integers(0, 10**6), received=st.integers(0, 10**6))
    def move(self, data: st.DataObject, sent: int, received: int) -> None:
        one = data.draw(st.sampled_from(self.kernel.open))
        one.sent += sent
        one.received += received
        self.truth.update(sent=sent, received=received)

    @stateful.precondition(lambda self: self.kernel.open)
    @stateful.rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.now += 1
        self.kernel.end(data.draw(st.sampled_from(self.kernel.open)), self.now)
        self.truth["closed"] += 1

    @stateful.rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND_NS

    @stateful.rule(
        data=st.data(), busy=st.booleans(), sweeps=st.booleans(), holds_back=st.booleans(), checkpoint=st.booleans()
    )
    def tick(self, data: st.DataObject, *, busy: bool, sweeps: bool, holds_back: bool, checkpoint: bool) -> None:
        """Read, tell, save, forget; in a busy one things happen between any two of these."""
        meanwhile = (lambda: self.meanwhile(data)) if busy else (lambda: None)
        self.drain(meanwhile, sweeps=sweeps, holds_back=holds_back, checkpoint=checkpoint)

    def meanwhile(self, data: st.DataObject) -> None:
        """Let one thing happen, or nothing."""
        what = data.draw(st.sampled_from(["nothing", "connect", "close", "move"]))
        if what == "connect":
            self.connect(data.draw(st.sampled_from(KEYS)), data.draw(st.sampled_from([0, 5003])))
        elif what != "nothing" and self.kernel.open:
            self.close(data) if what == "close" else self.move(data, 1009, 2003)

    def drain(self, meanwhile: Callable[[], None], *, sweeps: bool, holds_back: bool, checkpoint: bool) -> None:
        keys, values, still_open = kernel.read(self.kernel, self.table, sweeps=sweeps, meanwhile=meanwhile)
        gone = self.kernel.gone
        meanwhile()
        found = self.table.difference(
            keys, values, still_open=still_open, gone=gone, idle_before_boot_ns=self.now - IDLE_NS
        )
        held = {found.changes[0].edge.id} if holds_back and found.changes else set()
        held -= set(values["id"][:gone].tolist())
        for change in found.changes:
            if change.edge.id not in held:
                self.tell(change.counters)
        self.table.commit(found, held_back=held)
        idle = keys[[row for row in found.idle.tolist() if int(values["id"][row]) not in held]]
        if checkpoint or gone or len(idle):
            self.saved = (self.table.dump(), self.told.copy())
            meanwhile()
            self.kernel.forget(idle)

    def tell(self, counters: model.Counters) -> None:
        """Add to the totals; nothing told is ever negative."""
        news = {
            "sent": counters.sent_bytes,
            "received": counters.received_bytes,
            "opened": counters.opened,
            "closed": counters.closed,
            "connect_us": counters.connect_us_sum,
            **{f"connect_{at}": count for at, count in enumerate(counters.connect_us_buckets)},
        }
        assert min(news.values()) >= 0
        self.told.update(news)

    @stateful.precondition(lambda self: not self.kernel.holds_news)
    @stateful.rule()
    def killed_and_restarted(self) -> None:
        """Lose what was told since the checkpoint; not in the moment that the limitations page speaks of."""
        self.kernel.process_dies()
        dump, told = self.saved
        self.told = told.copy()
        self.table = edges.Table()
        self.table.load(dump)

    @stateful.invariant()
    def never_ahead_of_the_truth(self) -> None:
        for name, count in self.told.items():
            assert count <= self.truth[name], name

    def teardown(self) -> None:
        """When all has ended and been read, every count is exact."""
        for one in list(self.kernel.open):
            self.kernel.end(one, self.now)
            self.truth["closed"] += 1
        self.drain(lambda: None, sweeps=False, holds_back=False, checkpoint=True)
        assert +self.told == +self.truth


World.TestCase.settings = hypothesis.settings(max_examples=examples.of(150), stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
