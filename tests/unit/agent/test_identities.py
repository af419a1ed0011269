"""Which cgroups speak as whom. Left out: the kernel's table (tests/functional/agent)."""

import hypothesis
from hypothesis import strategies

from agent import identities, model
from ipseity import identity
from tests.unit.agent import test_lives, test_tags

CLUSTER = identity.TrustDomain("cluster.local")
NODE = "node-a"


def made() -> identities.Identities:
    return identities.Identities(CLUSTER, NODE)


def here(number: int, *, account: str = "web", gone: bool = False, node: str = NODE) -> model.ObjectEvent:
    return test_tags.event(test_tags.pod(number, account=account, node=node), 100, gone=gone)


def tags_of(number: int, account: str = "web") -> tuple[int, int]:
    spiffe_id = identity.SpiffeId(CLUSTER, identity.ServiceAccount("shop", account))
    return identity.identity_tag(spiffe_id), identity.pod_tag(test_tags.pod(number).uid)


def directory(cgroup: int, number: int, *, gone: bool = False, below: str = "") -> model.CgroupEvent:
    return test_lives.event(test_lives.pod_path(number) + below, 100, gone=gone, cgroup=cgroup)


def test_whichever_is_told_first() -> None:
    """The pod by the API, or its directories by the kernel: with the second of them all is written."""
    first, second = made(), made()
    assert {} == first.pod(here(7))
    assert {11: tags_of(7)} == first.cgroups([directory(11, 7)])
    assert {} == second.cgroups([directory(11, 7), directory(13, 7, below="/nested")])
    assert {11: tags_of(7), 13: tags_of(7)} == second.pod(here(7))


def test_nothing_is_written_twice() -> None:
    """A heartbeat of the pod, or a scan that finds what the kernel has told, is no news."""
    known = made()
    known.pod(here(7))
    known.cgroups([directory(11, 7)])
    assert ({}, {}) == (known.pod(here(7)), known.cgroups([directory(11, 7)]))


def test_a_directory_that_is_gone_speaks_no_more() -> None:
    """Told with its path, or without by a scan."""
    known = made()
    known.pod(here(7))
    known.cgroups([directory(11, 7), directory(13, 7)])
    assert {11: None} == known.cgroups([directory(11, 7, gone=True)])
    assert {13: None} == known.cgroups([test_lives.event("", 200, gone=True, cgroup=13)])
    assert {} == known.cgroups([directory(13, 7, gone=True)])


def test_a_reused_number_is_a_new_owner() -> None:
    """Of another pod, or of nobody; the late news of its former life's end changes nothing."""
    known = made()
    known.pod(here(7))
    known.pod(here(8))
    known.cgroups([directory(11, 7)])
    assert {11: tags_of(8)} == known.cgroups([directory(11, 8)])
    assert {} == known.cgroups([directory(11, 7, gone=True)])
    assert {11: None} == known.cgroups([test_lives.event("/system.slice/sshd.service", 300, cgroup=11)])


def test_other_nodes_and_the_host_have_no_identity_here() -> None:
    """Only what runs on this node, in a pod, is vouched for."""
    known = made()
    known.pod(here(7, node="node-b"))
    assert {} == known.cgroups([directory(11, 7), test_lives.event("/system.slice/sshd.service", 1, cgroup=13)])


def test_what_still_runs_is_still_who_it_was() -> None:
    """A pod that was deleted by force leaves processes; with the last directory it is forgotten."""
    known = made()
    known.pod(here(7))
    known.cgroups([directory(11, 7)])
    assert {} == known.pod(here(7, gone=True))
    assert {13: tags_of(7)} == known.cgroups([directory(13, 7)])
    known.cgroups([directory(11, 7, gone=True), directory(13, 7, gone=True)])
    assert ({}, {}, {}) == (known._tags, known._uid_of, known._cgroups_of)


def test_a_static_pod_is_known_by_its_hash() -> None:
    """Its directory has the hash; its tag is that of the uid by which the API knows it."""
    known = made()
    hashed = test_tags.pod(7, node=NODE, static_hash=test_tags.pod(9).uid)
    known.pod(test_tags.event(hashed, 100))
    assert {11: tags_of(7)} == known.cgroups([directory(11, 9)])


def test_what_a_former_agent_wrote_for_others_is_taken_back() -> None:
    """Gone directories, and pods that are not known."""
    known = made()
    known.pod(here(7))
    known.cgroups([directory(11, 7), directory(13, 8)])
    assert {13: None, 17: None} == known.strangers({11, 13, 17})


def test_the_picture_is_bounded() -> None:
    """What does not fit is counted and says nothing."""
    known = made()
    known._uid_of = dict.fromkeys(range(1, identities._LIMIT + 1), "x")
    known.pod(here(7))
    assert ({}, 1) == (known.cgroups([directory(1 << 20, 7)]), known.refused)


STEPS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["come", "leave", "pod", "pod gone"]),
        strategies.integers(min_value=1, max_value=4),
        strategies.integers(min_value=1, max_value=3),
    ),
    max_size=40,
)


@hypothesis.settings(deadline=None)  # the machine may be busy
@hypothesis.given(STEPS)
def test_the_kernel_s_table_is_always_the_picture(steps: list[tuple[str, int, int]]) -> None:
    """Applying the changes one by one gives what the whole picture says, whatever happens in whatever order."""
    known, table = made(), dict[int, tuple[int, int]]()
    for what, cgroup, number in steps:
        match what:
            case "come" | "leave":
                changes = known.cgroups([directory(cgroup, number, gone=what == "leave")])
            case _:
                changes = known.pod(here(number, gone=what == "pod gone"))
        for at, told in changes.items():
            if told is None:
                table.pop(at, None)
            else:
                table[at] = told
        assert known.all() == table
