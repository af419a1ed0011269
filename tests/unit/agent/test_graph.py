"""agent/graph and agent/rowjson: rows from the views of one or both ends. Left out: how rows look (test_observe.py)."""

import dataclasses
import json

import pytest

from agent import columns, flowjson, graph, ledger, model, rowjson, verdicts
from tests.fakes import flows


def record(flow: model.Flow, node: str = "node-a") -> flowjson.Flow:
    return flowjson.from_flow(flow, node_name=node)


HERE = record(flows.edge())
THERE = record(flows.mirrored(), "node-b")


def rows(*records: flowjson.Flow, by: graph.By = graph.By.WORKLOAD) -> list[graph.Row]:
    return graph.of(records, by).rows()


def test_one_view() -> None:
    """Only the source's agent was asked: its word for both ends."""
    (row,) = rows(HERE, HERE)
    assert (str(row.key.source), str(row.key.destination)) == ("shop/client", "shop/web")
    assert (row.key.protocol, row.key.port) == ("tcp", 8080)
    assert (row.source.evidence, row.destination.evidence) == ("kernel", "ip")
    assert (row.totals.opened, row.totals.closed, row.totals.sent_bytes) == (46, 38, 2018)
    assert row.totals.failed == {"refused": 14, "timed_out": 10, "reset": 6}
    assert (row.totals.rtt, row.totals.connect) == ((46, 9200), (46, 13800))
    assert row.views == ("EGRESS",)


def test_both_views_are_one_row() -> None:
    """Each end with its own kernel evidence, and nothing counted twice."""
    for order in ((HERE, THERE), (THERE, HERE)):
        (row,) = rows(*order)
        assert (row.source.evidence, row.destination.evidence) == ("kernel", "kernel")
        assert (row.source.cgroup_id, row.destination.cgroup_id) == (4528, 4566)
        assert (row.totals.opened, row.totals.sent_bytes, row.totals.received_bytes) == (23, 1009, 2003)
        assert row.views == ("EGRESS", "INGRESS")


def test_the_destination_alone() -> None:
    """Only the destination's agent was asked: sent is still what the source sent."""
    (row,) = rows(THERE)
    assert (row.source.evidence, row.destination.evidence) == ("ip", "kernel")
    assert (row.totals.sent_bytes, row.totals.received_bytes) == (1009, 2003)


def test_views_are_matched_pod_by_pod() -> None:
    """Of two clients one has no agent that was asked: it is counted by the destination's, the other once."""
    elsewhere = dataclasses.replace(flows.mirrored().remote, name="client-8aaa")
    (row,) = rows(HERE, THERE, record(flows.mirrored(remote=elsewhere), "node-b"))
    assert (row.totals.opened, row.totals.sent_bytes) == (46, 2018)
    assert (row.source.evidence, row.destination.evidence) == ("ip", "kernel"), "the weakest is shown"


def test_connections_are_not_counted_again() -> None:
    """Their edge has counted them."""
    assert rows(record(flows.connection())) == []


@pytest.mark.parametrize(
    ("by", "source", "port"),
    [
        (graph.By.WORKLOAD, graph.Name("Deployment", "shop", "client"), 8080),
        (graph.By.POD, graph.Name("Pod", "shop", "client-7f9c"), 8080),
        (graph.By.SERVICE_ACCOUNT, graph.Name("service-account", "shop", "client"), 8080),
        (graph.By.NAMESPACE, graph.Name("namespace", "shop", ""), 0),
    ],
)
def test_what_is_one_row(by: graph.By, source: graph.Name, port: int) -> None:
    """The same records, more or less coarsely."""
    (row,) = rows(HERE, THERE, by=by)
    assert (row.key.source, row.key.port) == (source, port)


def test_coarser_rows_sum_up() -> None:
    """Two ports are two rows by workload and one by namespace."""
    second = record(flows.edge(port=9))
    assert len(rows(HERE, second)) == 2
    (row,) = rows(HERE, second, by=graph.By.NAMESPACE)
    assert row.totals.opened == 46
    assert str(row.key.source) == "shop"


def test_a_bare_pod_is_its_own_workload() -> None:
    """No owner: the pod's name."""
    bare = dataclasses.replace(flows.CLIENT, workload="", workload_kind="")
    (row,) = rows(record(flows.edge(local=bare)))
    assert row.key.source == graph.Name("Pod", "shop", "client-7f9c")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (model.End(kind=model.Kind.SERVICE, evidence=model.Evidence.IP, namespace="shop", name="web"), "shop/web"),
        (model.End(kind=model.Kind.HOST, evidence=model.Evidence.KERNEL, name="sshd.service"), "sshd.service"),
        (flows.OUTSIDE, "0.0.0.0/0"),
        (model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, address="10.7.0.77"), "10.7.0.77"),
        (model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, cgroup=41), "cgroup 41"),
        (model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE), "unknown"),
    ],
)
def test_who_is_not_a_pod(end: model.End, expected: str) -> None:
    """The best name there is."""
    (row,) = rows(record(flows.edge(remote=end)))
    assert expected == str(row.key.destination)


def test_most_bytes_first() -> None:
    """What matters stands on top; equals keep an order."""
    small = record(flows.edge(port=1, counters=model.Counters(sent_bytes=1)))
    assert [row.key.port for row in rows(small, HERE)] == [8080, 1]


def test_what_secured_a_row_is_kept() -> None:
    """Of every record that says so; one that says nothing changes nothing."""
    proxy = model.Mesh(containers=(("c0ffee", "ipseity-proxy"),))
    local, remote = dataclasses.replace(flows.CLIENT, mesh=proxy), dataclasses.replace(flows.WEB, mesh=proxy)
    secured, plain = flows.edge(local=local, remote=remote), flows.edge(local=local)
    assert [{"mtls"}] == [row.totals.tls for row in rows(HERE, record(secured), record(flows.edge()))]
    assert [{"mtls", "none"}] == [row.totals.tls for row in rows(HERE, record(secured), record(plain))]


def test_partial_stays_partial() -> None:
    """One record that is older than its agent marks the row."""
    (row,) = rows(HERE, record(flows.edge(partial=True)))
    assert row.totals.partial


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap new pairs are left out and counted; known ones still count."""
    monkeypatch.setattr(graph, "_MAX_PAIRS", 2)
    drawn = graph.of([record(flows.edge(port=n)) for n in (1, 2, 3, 1)], graph.By.WORKLOAD)
    assert (1, [46, 23]) == (drawn.left_out, [row.totals.opened for row in drawn.rows()])


def test_what_it_covers() -> None:
    """From the first start to the last end, and by whom."""
    drawn = graph.of([HERE, THERE], graph.By.WORKLOAD)
    assert (drawn.first_time, drawn.last_time) == ("2026-11-22T13:00:00.000000000Z", "2026-11-22T13:00:01.000000000Z")
    assert drawn.nodes == {"node-a", "node-b"}


def test_a_row_as_json() -> None:
    """Every number exact, no field left out."""
    (row,) = rows(HERE, THERE)
    assert json.loads(rowjson.line(row)) == {
        "source": {
            "kind": "Deployment",
            "namespace": "shop",
            "name": "client",
            "service_account": "client",
            "evidence": "kernel",
            "reason": "",
        },
        "destination": {
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "service_account": "web",
            "evidence": "kernel",
            "reason": "",
        },
        "protocol": "tcp",
        "port": 8080,
        "opened": 23,
        "closed": 19,
        "failed": {"refused": 7, "timed_out": 5, "reset": 3},
        "sent_bytes": 1009,
        "received_bytes": 2003,
        "sent_segments": 101,
        "received_segments": 103,
        "retransmits": 2,
        "rtt": {"count": 23, "sum_us": 4600},
        "connect": {"count": 23, "sum_us": 6900},
        "partial": False,
        "tls": [],
        "mismatches": [],
        "seen_by": ["destination", "source"],
    }


def test_a_document_is_one_array() -> None:
    """Rows and records alike; none is an empty array."""
    assert json.loads(rowjson.document([])) == []
    assert [HERE] == [flowjson.decode(json.dumps(each).encode()) for each in json.loads(rowjson.document([HERE]))]


def test_a_lie_of_an_address_is_kept_whoever_saw_it() -> None:
    """From the destination's view too, although the source's is counted; each once."""
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    former = model.Who(model.Kind.POD, "shop", "report-1", "6f0c")
    views = model.Views(kernel=ledger.who(flows.WEB), ip=former, judged=verdicts.Verdicts(wrong))
    web = dataclasses.replace(flows.WEB, views=views)
    [row] = graph.of([record(flows.edge()), *[record(flows.mirrored(local=web))] * 2], graph.By.WORKLOAD).rows()
    assert {graph.Wrong("destination", "shop/report-1", "ip_reused")} == row.totals.wrong
    [header, line] = columns.rows([row], wide=False, width=None, colour=False)
    assert header.endswith("WHAT IP SAID")
    assert line.endswith("shop/report-1: ip reused")
    assert '"mismatches":[{"end":"destination","said":"shop/report-1","reason":"ip_reused"}]' in rowjson.line(row)
