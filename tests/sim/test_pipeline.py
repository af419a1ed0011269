"""Random lives of a node before the real ``pipeline.Pipeline``: pods that come, call and go; an API that is late.

The kernel is a fake that charges edges as bpf/tcp.c does. The world keeps Kubernetes' promises: an address has one pod
at a time, and is told at most ``LATE_NS`` after it was given. What must hold at every step, and at the end:

    told once      the sum of all flows never passes what happened, and is equal to it when all is told
    right owner    a local end is the pod whose cgroup it is, or no pod; a remote end is who had the address then
    patience       nothing waits longer than a name may take to arrive
    bounded        nothing is kept of edges that the kernel has forgotten

Left out: the arithmetic of sweeps (test_told_once) and addresses alone (test_ownership).
"""

import collections
import dataclasses
import ipaddress
from typing import Any

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from agent import checkpoint, edges, join, model, ownership, pipeline, records, remembered
from tests import examples
from tests.fakes import kernel

SECOND_NS = 10**9
LATE_NS = SECOND_NS
REUSE_NS = 2 * join.SLACK_NS
"""No CNI gives an address again at once."""
PORT = 8080
ADDRESSES = [f"10.7.0.{number}" for number in range(2, 6)]
OUTSIDE = "10.9.0.1"
"""An address in the cluster's range that nobody ever tells of."""
MAX_EDGES = 64


@dataclasses.dataclass
class TruePod:
    """A pod as it is."""

    number: int
    address: str
    born_ns: int
    told_ns: int | None = None
    ended_ns: int | None = None
    gone_told: bool = False

    @property
    def uid(self) -> model.PodUid:
        return model.PodUid(f"{self.number:08x}-0000-4000-8000-000000000000")

    @property
    def cgroup(self) -> int:
        return 1000 + self.number

    def was_there(self, start_ns: int, end_ns: int) -> bool:
        return self.born_ns <= end_ns and (self.ended_ns is None or start_ns <= self.ended_ns)

    def value(self) -> model.Pod:
        return model.Pod(
            uid=self.uid,
            namespace="shop",
            name=f"pod-{self.number}",
            node="node-a",
            ips=(ipaddress.ip_address(self.address),),
        )


class Node(stateful.RuleBasedStateMachine):
    """A node, its API server, and a pipeline that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10**15
        self.kernel = kernel.Kernel()
        self.line = pipeline.Pipeline(ownership.Ownership(history_s=600), max_edges=MAX_EDGES)
        self.pods: list[TruePod] = []
        self.open: list[tuple[kernel.Connection, TruePod, int]] = []
        self.cgroup_events: list[model.CgroupEvent] = []
        self.object_events: list[model.ObjectEvent] = []
        self.records: list[records.Connection] = []
        self.truth: collections.Counter[str] = collections.Counter()
        self.told: collections.Counter[str] = collections.Counter()
        self.ended = self.ended_told = self.ended_lost = 0
        self.readings: collections.deque[tuple[int, collections.Counter[str]]] = collections.deque()
        """When was read what had happened; of those whose patience is not over."""
        self.saved, self.saved_ns = self.state(), 0
        self.restarted_ns = 0
        """What pods did that came and went while no agent heard of them may be told under a later owner."""

    def living(self) -> list[TruePod]:
        return [pod for pod in self.pods if pod.ended_ns is None]

    @stateful.rule(milliseconds=st.integers(1, 3_000))
    def time_passes(self, milliseconds: int) -> None:
        """Let time pass, in which the API keeps its promise."""
        self.now += milliseconds * 10**6
        for pod in self.pods:
            if pod.told_ns is None and self.now - pod.born_ns >= LATE_NS:
                self.tell(pod)

    @stateful.rule(minutes=st.integers(3, 5))
    def long_time_passes(self, minutes: int) -> None:
        """Let edges become idle."""
        self.time_passes(minutes * 60_000)

    @stateful.precondition(lambda self: len(self.living()) < len(ADDRESSES))
    @stateful.rule(data=st.data())
    def a_pod_comes(self, data: st.DataObject) -> None:
        """Give it an address that is free: perhaps one that somebody else had a moment ago."""
        taken = {pod.address for pod in self.pods if pod.ended_ns is None or self.now - pod.ended_ns < REUSE_NS}
        free = [address for address in ADDRESSES if address not in taken]
        hypothesis.assume(free)
        self.begin(data.draw(st.sampled_from(free)))

    def begin(self, address: str) -> TruePod:
        self.now += 1
        pod = TruePod(len(self.pods) + 1, address, self.now)
        self.pods.append(pod)
        path = f"/kubepods/burstable/pod{pod.uid}/c{pod.number}"
        self.cgroup_events.append(model.CgroupEvent(cgroup=model.CgroupId(pod.cgroup), path=path, boot_ns=self.now))
        return pod

    @stateful.precondition(lambda self: any(pod.told_ns is None for pod in self.living()))
    @stateful.rule(data=st.data())
    def a_pod_is_told(self, data: st.DataObject) -> None:
        self.now += 1
        self.tell(data.draw(st.sampled_from([pod for pod in self.living() if pod.told_ns is None])))

    def tell(self, pod: TruePod) -> None:
        pod.told_ns = self.now
        self.deliver(model.Change.SEEN, pod)

    def deliver(self, change: model.Change, pod: TruePod, *, since_ns: int | None = None) -> None:
        event = model.ObjectEvent(change=change, object=pod.value(), boot_ns=self.now, since_boot_ns=since_ns)
        self.object_events.append(event)

    @stateful.precondition(lambda self: self.living())
    @stateful.rule(data=st.data())
    def a_pod_ends(self, data: st.DataObject) -> None:
        """End its connections, its processes, its cgroup; the API tells some time after."""
        self.end(data.draw(st.sampled_from(self.living())))

    def end(self, pod: TruePod) -> None:
        for each in list(self.open):
            if each[1] is pod:
                self.finish(*each)
        self.now += 1
        pod.ended_ns = self.now
        self.cgroup_events.append(
            model.CgroupEvent(cgroup=model.CgroupId(pod.cgroup), path="", boot_ns=self.now, gone=True)
        )

    @stateful.precondition(lambda self: any(pod.ended_ns and not pod.gone_told for pod in self.pods))
    @stateful.rule(data=st.data())
    def an_end_is_told(self, data: st.DataObject) -> None:
        self.tell_end(data.draw(st.sampled_from([pod for pod in self.pods if pod.ended_ns and not pod.gone_told])))

    def tell_end(self, pod: TruePod) -> None:
        pod.gone_told = True
        pod.told_ns = pod.told_ns or self.now
        self.now += 1
        self.deliver(model.Change.GONE, pod)

    @stateful.precondition(lambda self: self.living())
    @stateful.rule(data=st.data())
    def a_pod_is_replaced(self, data: st.DataObject) -> None:
        """Give its address to a successor as soon as a CNI would; whoever called it has not noticed."""
        pod = data.draw(st.sampled_from(self.living()))
        self.tick(sweeps=False, saves=False)
        self.end(pod)
        self.tell_end(pod)
        self.now += REUSE_NS
        self.tell(self.begin(pod.address))
        self.tick(sweeps=False, saves=False)

    @stateful.precondition(lambda self: self.living())
    @stateful.rule(data=st.data())
    def a_pod_calls(self, data: st.DataObject) -> None:
        """Open a connection to another pod (both ends are here) or to an address that nobody tells of."""
        pod = data.draw(st.sampled_from(self.living()))
        other = data.draw(st.sampled_from([*self.living(), None]))
        self.now += 1
        address = other.address if other else OUTSIDE
        self.establish(pod, kernel.key(pod.cgroup, local=pod.address, remote=address, port=PORT))
        if other:
            served = kernel.key(other.cgroup, local=other.address, remote=pod.address, port=PORT, direction=1)
            self.establish(other, served)

    def establish(self, pod: TruePod, key: Any) -> None:
        key["netns"] = 4000 + pod.number
        self.open.append((self.kernel.establish(key, self.now), pod, self.now))
        self.truth["opened"] += 1

    @stateful.precondition(lambda self: self.open)
    @stateful.rule(data=st.data(), sent=st.integers(0, 10**6))
    def a_connection_moves(self, data: st.DataObject, sent: int) -> None:
        one, *_ = data.draw(st.sampled_from(self.open))
        one.sent += sent
        self.truth["sent"] += sent

    @stateful.precondition(lambda self: self.open)
    @stateful.rule(data=st.data())
    def a_connection_ends(self, data: st.DataObject) -> None:
        self.now += 1
        self.finish(*data.draw(st.sampled_from(self.open)))

    def finish(self, one: kernel.Connection, pod: TruePod, opened_ns: int) -> None:
        self.open.remove((one, pod, opened_ns))
        self.kernel.end(one, self.now)
        self.truth["closed"] += 1
        self.ended += 1
        [key] = edges.wire.edge_keys(self.kernel.keys[one.key])
        edge = edges.read_key(0, key)
        counters = model.Counters(opened=1, closed=1, sent_bytes=one.sent)
        self.records.append(
            records.Connection(
                edge=edge,
                local_port=40_000,
                remote_port=PORT,
                opened_boot_ns=opened_ns,
                ended_boot_ns=self.now,
                end_reason="closed",
                counters=counters,
            )
        )

    @stateful.rule(sweeps=st.booleans(), saves=st.booleans())
    def tick(self, *, sweeps: bool, saves: bool) -> None:
        """Read, step, tell; save and let the kernel forget, as the agent does."""
        self.now += 1
        keys, values, still_open = kernel.read(self.kernel, self.line.table, sweeps=sweeps)
        told = self.line.step(
            pipeline.Inputs(
                boot_ns=self.now,
                wall_of=lambda boot_ns: boot_ns,
                cgroup_events=self.cgroup_events,
                object_events=self.object_events,
                keys=keys,
                values=values,
                gone=self.kernel.gone,
                still_open=still_open,
                connections=self.records,
                heard=True,
            )
        )
        self.cgroup_events, self.object_events, self.records = [], [], []
        for flow in told.edges:
            self.take(flow)
        self.ended_told += len(told.connections)
        for flow in told.connections:
            self.is_right(flow)
            self.is_of_its_time(flow)
        self.is_patient()
        self.is_bounded()
        if saves or self.kernel.gone or len(told.idle):
            self.saved, self.saved_ns = self.state(), self.now
            self.kernel.forget(told.idle)

    def take(self, flow: model.Flow) -> None:
        counters = flow.counters
        news = {"opened": counters.opened, "closed": counters.closed, "sent": counters.sent_bytes}
        assert min(news.values()) >= 0
        self.told.update(news)
        self.is_right(flow)

    def is_right(self, flow: model.Flow) -> None:
        """No end is somebody else's. Whose cgroup it is was told before; after a kill it may be unknown."""
        [owner] = [pod for pod in self.pods if pod.cgroup == flow.local.cgroup]
        if flow.local.kind is model.Kind.POD:
            assert (owner.uid, model.Evidence.KERNEL) == (flow.local.pod_uid, flow.local.evidence)
            assert flow.local.name in {"", f"pod-{owner.number}"}
        else:
            assert model.Reason.UNKNOWN_CGROUP is flow.local.reason
        if flow.remote.kind is model.Kind.POD:
            opened = flow.counters.opened and flow.start_wall_ns > self.restarted_ns
            began_ns, end_ns = (flow.start_wall_ns, flow.end_wall_ns) if opened else (0, self.now)
            there = [pod for pod in self.pods if pod.was_there(began_ns, end_ns)]
            assert (flow.remote.address, flow.remote.pod_uid) in {(pod.address, pod.uid) for pod in there}
        else:
            assert flow.remote.reason in {model.Reason.NO_OWNER, model.Reason.AMBIGUOUS}

    def is_of_its_time(self, flow: model.Flow) -> None:
        """Hold an ended connection to who had the address when it was opened, or nobody."""
        opened_ns = flow.start_wall_ns
        if opened_ns <= self.restarted_ns:
            return
        then = {
            pod.uid for pod in self.pods if pod.address == flow.remote.address and pod.was_there(opened_ns, opened_ns)
        }
        assert flow.remote.pod_uid in {"", *then}

    def is_patient(self) -> None:
        """See that what was read and is old enough is told, with a name or without."""
        while self.readings and self.now - self.readings[0][0] >= pipeline.PATIENCE_NS:
            _, read = self.readings.popleft()
            assert all(self.told[name] >= count for name, count in read.items())
        self.readings.append((self.now, collections.Counter({name: self.truth[name] for name in ("opened", "closed")})))
        for _, each in self.line._connections:
            assert self.now - each.ended_boot_ns <= pipeline.PATIENCE_NS

    def is_bounded(self) -> None:
        """Nothing is kept of edges that were not in the last reading."""
        there = len(self.kernel.values) + self.kernel.gone
        assert there == len(self.line.table) == len(self.line.table._edges) >= len(self.line.table._id_of)
        assert max(len(self.line._waiting), len(self.line._names._known), len(self.line._join)) <= there

    def state(self) -> Any:
        """Give what a checkpoint has, and the totals that go with it."""
        plain = checkpoint.State(edges=self.line.table.dump(), owners=remembered.dump(self.line.owners))
        return plain, self.told.copy()

    @stateful.rule()
    def killed_and_restarted(self) -> None:
        """Begin anew with the checkpoint; ended connections that nobody had named yet are lost to the flow log."""
        self.kernel.process_dies()
        self.ended_lost += len(self.line._connections)
        plain, told = self.saved
        owners = ownership.Ownership(history_s=600)
        remembered.load(plain.owners, owners)
        self.line = pipeline.Pipeline(owners, max_edges=MAX_EDGES)
        self.line.table.load(plain.edges)
        self.told = told.copy()
        self.readings.clear()
        self.restarted_ns = self.now
        self.relist()

    def relist(self) -> None:
        """Scan the tree and list the API: the first that a new agent does. The kernel's cgroup ring is still there."""
        for pod in self.living():
            path = f"/kubepods/burstable/pod{pod.uid}/c{pod.number}"
            event = model.CgroupEvent(cgroup=model.CgroupId(pod.cgroup), path=path, boot_ns=self.now)
            self.cgroup_events.append(event)
        self.object_events = []
        remembered_alive = self.line.owners.alive(model.Pod)
        for pod in self.pods:
            if pod.told_ns and not pod.gone_told:
                self.deliver(model.Change.SEEN, pod, since_ns=self.saved_ns)
            elif pod.uid in remembered_alive:
                self.deliver(model.Change.GONE, pod)

    @stateful.invariant()
    def never_ahead_of_the_truth(self) -> None:
        for name, count in self.told.items():
            assert count <= self.truth[name], name
        assert self.ended_told <= self.ended

    def teardown(self) -> None:
        """When all has ended and patience is over, everything was told exactly once."""
        for each in list(self.open):
            self.finish(*each)
        for _ in range(3):
            self.tick(sweeps=False, saves=False)
            self.time_passes(pipeline.PATIENCE_NS // 10**6 + 1)
        self.tick(sweeps=False, saves=True)
        assert self.truth == self.told
        assert self.ended == self.ended_told + self.ended_lost


Node.TestCase.settings = hypothesis.settings(max_examples=examples.of(80), stateful_step_count=50, deadline=None)
TestNode = Node.TestCase
