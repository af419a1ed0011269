"""Random lives of pods on four addresses, told late and out of order, compared with the truth.

The world keeps what Kubernetes promises: one address has one pod at a time; a pod is bound to its node before it gets
an address; the address is told at most REPORT_LAG after it was given; an end is never told before it has come. Within
that, every answer must be the truth or say that it does not know. Leaves out cgroups (``test_lives``) and what the API
never told at all.
"""

import dataclasses
import ipaddress
from typing import Any

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from agent import model, ownership, remembered
from tests import examples

LAG_NS = ownership.REPORT_LAG_NS
ADDRESSES = [ipaddress.ip_address(f"10.7.0.{number}") for number in range(1, 5)]
NETNS = model.NetnsCookie(0)
STEPS_NS = st.integers(1, 2_400).map(lambda step_ms: step_ms * 1_000_000)  # two of them are less than the lag


@dataclasses.dataclass
class TruePod:
    """A pod as it is, not as it is told."""

    uid: model.PodUid
    cgroup: model.CgroupId
    ip: model.IpAddress | None = None
    given_ns: int = 0
    released_ns: int | None = None
    told: bool = False
    ended: bool = False

    def value(self, **changes: Any) -> model.Pod:
        return model.Pod(uid=self.uid, namespace="shop", name=self.uid[:8], node="node-a", **changes)


class Cluster(stateful.RuleBasedStateMachine):
    """The world, and an Ownership that hears of it."""

    def __init__(self) -> None:
        super().__init__()
        self.owners = ownership.Ownership(history_s=3600)
        self.now = 10**12
        self.pods: list[TruePod] = []
        self.asked: list[tuple[model.IpAddress, int]] = []

    def living(self) -> list[TruePod]:
        return [pod for pod in self.pods if not pod.ended]

    def tell(self, change: model.Change, pod: model.Pod) -> None:
        self.owners.apply_object(model.ObjectEvent(change=change, object=pod, boot_ns=self.now))

    @stateful.rule(step=STEPS_NS)
    def time_passes(self, step: int) -> None:
        self.now += step
        for pod in self.pods:  # the kubelet keeps its promise
            if pod.ip is not None and not pod.told and self.now - pod.given_ns >= LAG_NS // 2:
                self.tell_address(pod)

    @stateful.rule()
    def a_pod_is_bound(self) -> None:
        number = len(self.pods) + 1
        uid = model.PodUid(f"{number:08x}-0000-4000-8000-000000000000")
        pod = TruePod(uid, model.CgroupId(number))
        self.pods.append(pod)
        self.now += 1
        self.tell(model.Change.SEEN, pod.value())
        path = f"/kubepods/burstable/pod{uid}/c{number}"
        self.owners.apply_cgroup(model.CgroupEvent(cgroup=pod.cgroup, path=path, boot_ns=self.now))

    @stateful.precondition(lambda self: any(pod.ip is None for pod in self.living()))
    @stateful.rule(data=st.data())
    def a_pod_gets_an_address(self, data: st.DataObject) -> None:
        free = [ip for ip in ADDRESSES if self.true_owner(ip, self.now) is None]
        hypothesis.assume(free)
        pod = data.draw(st.sampled_from([pod for pod in self.living() if pod.ip is None]))
        self.now += 1
        pod.ip, pod.given_ns = data.draw(st.sampled_from(free)), self.now

    @stateful.precondition(lambda self: any(pod.ip and not pod.told for pod in self.living()))
    @stateful.rule(data=st.data())
    def an_address_is_told(self, data: st.DataObject) -> None:
        self.now += 1
        self.tell_address(data.draw(st.sampled_from([pod for pod in self.living() if pod.ip and not pod.told])))

    def tell_address(self, pod: TruePod) -> None:
        assert pod.ip is not None
        pod.told = True
        if not pod.ended:
            self.tell(model.Change.SEEN, pod.value(ips=(pod.ip,)))

    @stateful.precondition(lambda self: any(pod.told and pod.released_ns is None for pod in self.living()))
    @stateful.rule(data=st.data())
    def an_old_status_is_sent_again(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from([pod for pod in self.living() if pod.told]))
        assert pod.ip is not None
        self.tell(model.Change.SEEN, pod.value(ips=(pod.ip,), labels=(("again", str(self.now)),)))

    @stateful.precondition(lambda self: any(pod.ip and pod.released_ns is None for pod in self.living()))
    @stateful.rule(data=st.data())
    def an_address_is_released(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from([pod for pod in self.living() if pod.ip and pod.released_ns is None]))
        self.now += 1
        pod.released_ns = self.now

    @stateful.precondition(lambda self: any(pod.released_ns for pod in self.living()))
    @stateful.rule(data=st.data(), change=st.sampled_from(model.Change))
    def an_end_is_told(self, data: st.DataObject, change: model.Change) -> None:
        pod = data.draw(st.sampled_from([pod for pod in self.living() if pod.released_ns]))
        assert pod.ip is not None
        self.now += 1
        pod.ended = pod.told = True
        self.tell(change, pod.value(ips=(pod.ip,), terminal=True))

    @stateful.precondition(lambda self: any(pod.ip for pod in self.pods))
    @stateful.rule(data=st.data())
    def a_socket_is_seen(self, data: st.DataObject) -> None:
        """Tell late, as a drain does, what was true then."""
        pod = data.draw(st.sampled_from([pod for pod in self.pods if pod.ip]))
        assert pod.ip is not None
        end = (pod.released_ns or self.now + 1) - 1
        at = data.draw(st.integers(pod.given_ns, max(pod.given_ns, min(end, self.now))))
        self.owners.observe_kernel(pod.ip, pod.cgroup, NETNS, at)

    @stateful.rule()
    def the_agent_restarts(self) -> None:
        fresh = ownership.Ownership(history_s=3600)
        remembered.load(remembered.dump(self.owners), fresh)
        self.owners = fresh

    @stateful.rule()
    def time_is_forgotten(self) -> None:
        self.owners.expire(self.now)

    @stateful.precondition(lambda self: self.pods)
    @stateful.rule(data=st.data())
    def a_moment_is_remembered(self, data: st.DataObject) -> None:
        self.asked.append((data.draw(st.sampled_from(ADDRESSES)), self.now))

    def true_owner(self, ip: model.IpAddress, at_ns: int) -> TruePod | None:
        for pod in self.pods:
            if pod.ip == ip and pod.given_ns <= at_ns and (pod.released_ns is None or at_ns < pod.released_ns):
                return pod
        return None

    @stateful.invariant()
    def what_all_have_told_of_is_true_or_unknown(self) -> None:
        """Moments since which every pod has had its say are answered with the truth, or with "several"."""
        for ip, at_ns in self.asked:
            if any(pod.ip == ip and pod.given_ns <= at_ns and not pod.told for pod in self.pods):
                continue  # somebody who may have had it has not been told of
            truth, answer = self.true_owner(ip, at_ns), self.owners.at(ip, at_ns, at_ns)
            if truth is not None:
                assert answer is model.Reason.AMBIGUOUS or getattr(answer, "uid", "") == truth.uid, (truth, answer)

    @stateful.invariant()
    def a_socket_names_its_pod(self) -> None:
        for pod in self.pods:
            place = self.owners.local(pod.cgroup, self.now)
            assert getattr(place, "uid", "") == pod.uid

    @stateful.invariant()
    def history_is_in_order(self) -> None:
        for ip in ADDRESSES:
            starts = [held.from_ns for held in self.owners.history(ip)]
            assert sorted(starts) == starts


TestOwnership = Cluster.TestCase
TestOwnership.settings = hypothesis.settings(max_examples=examples.of(150), stateful_step_count=60, deadline=None)
