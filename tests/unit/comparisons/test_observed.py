"""What is read of flows, which labels pick a workload, what is refused. Leaves out what comes of it: the golden."""

import contextlib
import io
import json
import pathlib
from typing import Any

import pytest

from agent import flowjson
from comparisons import observing, report, results
from comparisons.ip_policy import errors
from comparisons.observed import flows, history, people, run, sources
from ipseity import cli
from tests.fakes import agent_api
from tests.fakes import flows as made
from tests.golden.comparisons import test_observed as golden_case
from tests.unit.comparisons import made as test_made
from tests.unit.comparisons import test_report

CASE = golden_case.HERE / "reuse"


def pod(name: str, labels: dict[str, str], owner: str = "", account: str = "web") -> dict[str, Any]:
    owners = [{"kind": "StatefulSet", "name": owner, "controller": True}] if owner else []
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels, "ownerReferences": owners},
        "spec": {"serviceAccountName": account},
        "status": {"podIP": f"10.0.0.{len(name)}"},
    }


def group(name: str, kind: str = "StatefulSet") -> people.Group:
    return people.Group(namespace="shop", kind=kind, name=name)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([], {"app": "web"}),
        ([{"app": "db"}], {"app": "web"}),
        ([{"app": "web"}], {"app": "web", "tier": "front"}),
        ([{"app": "web", "tier": "front"}], {"app": "web", "tier": "front", "zone": "a"}),
        ([{"app": "web", "tier": "front", "zone": "a"}], None),
    ],
)
def test_the_fewest_labels_that_tell_a_workload_apart(
    others: list[dict[str, str]], chosen: dict[str, str] | None
) -> None:
    """Those that replicas share, and nobody else has; never one that a controller made."""
    mine = {"app": "web", "tier": "front", "zone": "a", "controller-revision-hash": "7"}
    pods = [pod("web-0", mine, "web"), pod("web-01", {**mine, "more": "x"}, "web")]
    pods += [pod(f"other-{number}", labels) for number, labels in enumerate(others)]
    assert chosen == people.people(pods, []).selector(group("web"))


def test_an_account_alone_is_its_one_workload() -> None:
    """A handshake proves the account; of two workloads that share it neither is named."""
    proven = flows.End(kind="pod", evidence="handshake", namespace="shop", service_account="web")
    one = people.people([pod("web-0", {"app": "web"}, "web")], [])
    two = people.people([pod("web-0", {"app": "web"}, "web"), pod("job", {"app": "job"})], [])
    assert group("web") == one.group(proven)
    assert group("web", "ServiceAccount") == two.group(proven)


@pytest.mark.parametrize(("gap_s", "others"), [(history.NEAR_S - 1, ["shop/b"]), (history.NEAR_S + 1, [])])
def test_an_address_is_believed_again_after_half_an_hour(gap_s: float, others: list[str]) -> None:
    """On both sides of a flow."""
    past = history.History()
    past.note("10.0.0.1", "a", "shop/a", 5000, 5010)
    past.note("10.0.0.1", "b", "shop/b", 5010 + gap_s, 9999)
    assert others == past.others("10.0.0.1", "a", 5000, 5010)
    past = history.History()
    past.note("10.0.0.1", "b", "shop/b", 0, 5000 - gap_s)
    assert others == past.others("10.0.0.1", "a", 5000, 5010)


def test_records_are_read_as_an_agent_writes_them() -> None:
    """Edges with both ends and their counters; what an agent lost is counted."""
    lines = [flowjson.encode(flowjson.from_flow(each, node_name="node-a")) for each in (made.edge(), made.connection())]
    found = flows.read([*lines, b'{"lost_events":{"num_events_lost":11}}', b"\n", b"{", b'{"time": 7}'])
    assert (1, 11, 2) == (len(found.flows), found.lost, found.unreadable)
    assert "line 5" in found.why
    assert ("shop/client", "shop/web", 8080, "TCP", 23, True) == (
        str(found.flows[0].source),
        str(found.flows[0].destination),
        found.flows[0].port,
        found.flows[0].protocol,
        found.flows[0].opened,
        found.flows[0].egress,
    )


def test_an_agent_is_asked(tmp_path: pathlib.Path) -> None:
    """Over its socket, for all that it keeps."""
    with agent_api.RunningAgent(tmp_path) as agent:
        agent.publish(made.edge(), made.mirrored())
        found = flows.read(sources.lines([], [f"unix://{agent.address.path}"]))
    assert [True, False] == [it.egress for it in found.flows]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (run.Wishes(), "no flows to look at"),
        (run.Wishes(flows=["x"], offline=True), "--offline without a file"),
        (
            run.Wishes(flows=["/nowhere"], offline=True, files=[str(CASE / "objects.yaml")]),
            "cannot read flows from /nowhere",
        ),
        (run.Wishes(servers=["unix:///no"], offline=True, files=[str(CASE / "objects.yaml")]), "cannot ask the agent"),
        (run.Wishes(servers=["ftp://a"], offline=True, files=[str(CASE / "objects.yaml")]), "no address of an agent"),
        (
            run.Wishes(servers=["http://a:x"], offline=True, files=[str(CASE / "objects.yaml")]),
            "no address of an agent",
        ),
        (run.Wishes(flows=["/dev/null"], offline=True, files=[str(CASE / "objects.yaml")]), "there is no record"),
        (
            run.Wishes(flows=[str(CASE / "objects.yaml")], offline=True, files=[str(CASE / "objects.yaml")]),
            "could not be read",
        ),
        (run.Wishes(flows=["x"], offline=True, files=[str(CASE / "flows.jsonl")]), "cannot read"),
    ],
)
def test_what_cannot_be_looked_at_is_said_with_a_remedy(wishes: run.Wishes, words: str) -> None:
    """And nothing is written."""
    with pytest.raises(errors.PolicyError, match=words) as refused:
        run.look(wishes)
    assert refused.value.hint


def test_from_the_command_line(tmp_path: pathlib.Path) -> None:
    """From files alone: the page, and the policies of one kind on standard output."""
    words = [
        "compare",
        "--from-cluster",
        "--flows",
        str(CASE / "flows.jsonl"),
        "-f",
        str(CASE / "objects.yaml"),
        "--offline",
    ]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert 0 == cli.run([*words, "-o", str(tmp_path), "--print", "identity"])
    assert (CASE / "identity.golden.yaml").read_text() == said.getvalue()
    assert (tmp_path / "report.html").read_text().count("<h1>") == 1
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert 0 == cli.run([*words, "-o", str(tmp_path), "--json"])
    assert ["shop/db", "shop/web"] == json.loads(said.getvalue())["suggested"]


def test_what_means_nothing_without_from_cluster_is_refused() -> None:
    """It would have been passed over."""
    said = {"flows": ("x",), "servers": (), "files": (), "offline": False, "kubeconfig": None, "policies": None}
    with pytest.raises(errors.PolicyError, match="--flows: only with --from-cluster"):
        observing.refuse(said)


def test_both_halves_are_one_page(tmp_path: pathlib.Path) -> None:
    """What was played and what was observed, in one folder: every link leads somewhere, and no name is twice."""
    results.write(tmp_path / report.RESULTS / report.OBSERVED / "results.json", golden_case.observed("reuse"))
    report.write(tmp_path)
    alone = test_report.Page()
    alone.feed((tmp_path / "report.html").read_text())
    test_made.write(tmp_path)
    report.write(tmp_path)
    both = test_report.Page()
    both.feed((tmp_path / "report.html").read_text())
    for page in (alone, both):
        assert [] == page.open
        assert len(page.ids) == len(set(page.ids))
        assert [] == [link for link in page.links if link.startswith("#") and link[1:] not in page.ids]
        assert {"observed", "misjudged", "suggested-shop-statefulset-db", "refused"} <= set(page.ids)
    assert both.charts
    assert "## Observed in a cluster" in (tmp_path / "report.md").read_text()
