"""What a lab is made of. Leaves out building it."""

import json
from typing import Any

import pytest

from comparisons.lab import errors, plan


def make(name: str = "lab", **changes: Any) -> plan.LabPlan:
    """Make a plan with the defaults of ``lab up``."""
    return plan.make(**{"name": name, "nodes": 2, "pod_cidr": "", "kubeconfig": "", "others": (), **changes})


def test_two_labs_share_nothing() -> None:
    """Ranges, node addresses and indexes all differ."""
    first = make("one")
    second = make("two", others=[first])
    assert (0, "10.64.0.0/16", "10.65.0.0/16") == (first.index, first.pod_cidr, second.pod_cidr)
    seen = [{*node.ips, *node.pod_cidrs} for it in (first, second) for node in it.nodes]
    assert sum(len(it) for it in seen) == len(set().union(*seen))


def test_nodes_split_the_range() -> None:
    """A node gets a /24, or less where the cluster's range is small."""
    assert ["10.64.0.0/24", "10.64.1.0/24"] == [node.pod_cidrs[0] for node in make().nodes]
    small = make(pod_cidr="10.7.0.0/28")
    assert ["10.7.0.0/29", "10.7.0.8/29"] == [node.pod_cidrs[0] for node in small.nodes]
    assert [("10.7.0.0/28")] == [node.pod_cidrs[0] for node in make(nodes=1, pod_cidr="10.7.0.0/28").nodes]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pod_cidr": "10.7.0.0/29"}, "too small for 2 nodes"),
        ({"pod_cidr": "10.7.0.1/24"}, "host bits"),
        ({"nodes": 0}, "1 to 26 nodes, not 0"),
        ({"name": "Lab"}, "not a name for a lab: 'Lab'"),
        ({"pod_cidr": "10.64.3.0/24", "others": [make("other")]}, "overlaps 10.64.0.0/16 of lab 'other'"),
    ],
)
def test_wrong_wishes_are_refused(changes: dict[str, object], words: str) -> None:
    """The error names the value and what is wrong with it."""
    with pytest.raises(errors.LabError, match=words.replace("'", ".").replace(".", r".")):
        make(**changes)


def test_plan_survives_its_file() -> None:
    """What is written is what is read."""
    made = make()
    assert made == plan.from_json(json.loads(json.dumps(plan.to_json(made))))
