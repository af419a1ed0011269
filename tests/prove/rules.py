"""Alerts fire when they should; every query of every dashboard finds series that a lab made and a Prometheus stored.

The rules by `promtool check` and `promtool test rules`; the dashboards by Grafana's own types, and by a real Prometheus
that scrapes a lab with agents and a mesh in which things go wrong: errors, refusals, a misleading address, a collector
that is not well.
"""

import contextlib
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Final

from tests.fakes import collector
from tests.prove import _cases, verdict
from tests.scene import agent, boards, clone, lab, mesh, stored

ROOM: Final = "tests/contract/deploy/test_rules.py"
BOARDS: Final = "tests/contract/deploy/test_dashboards.py"
CASES: Final = {
    "promtool check rules": f"{ROOM}::test_prometheus_takes_them",
    "promtool test rules": f"{ROOM}::test_they_say_what_they_should",
    "every rule is in a test": f"{ROOM}::test_every_rule_is_tested",
    "every metric is one of ours": f"{ROOM}::test_they_read_what_is_served",
    "every alert says what to do": f"{ROOM}::test_every_alert_says_what_to_do",
    "the chart has them unchanged": f"{ROOM}::test_the_chart_carries_them_as_they_are",
    "dashboards load in Grafana's schema": f"{BOARDS}::test_grafanas_schema_knows_all_of_it",
    "they ask for what is served": f"{BOARDS}::test_it_asks_for_what_is_served",
    "the chart has dashboards unchanged": f"{ROOM}::test_the_chart_carries_the_dashboards_as_they_are",
}
SHOP: Final = "shop"
TRAFFIC_S: Final = 60
WINDOW: Final = "60s"
"""For rates; Grafana's own is four scrapes at least."""
SETTLE_S: Final = 60.0
LAST_S: Final = 20.0
STRAY: Final = """
apiVersion: v1
kind: Pod
metadata: {name: stray, namespace: shop, labels: {app: stray}}
spec:
  hostNetwork: true
  containers:
    - name: app
      image: tests/stray
      command: [PYTHON, -c, "CODE"]
"""
"""With the node's address, so that every look-up names the node; and to nowhere, so that connections fail."""
CODE: Final = """
import socket, sys, time
while True:
    for host, port in (('plain.shop', 8080), ('PLAIN', 9), ('198.51.100.7', 80)):
        try:
            socket.create_connection((host, port), 0.2).close()
        except OSError:
            pass
    time.sleep(0.2)
"""


ASK: Final = """
import datetime, pathlib, sys, tempfile
from injector.sidecar import certify
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / 'token').write_text('no.token.atall')
    (folder / 'bundle').write_text(sys.argv[1])
    host = 'ipseity-control.ipseity-system.svc'
    task = certify.Task(
        task='issue', spiffe_id='spiffe://cluster.local/ns/shop/sa/web', control_plane=host, address=host + ':8444',
        token=name + '/token', trust=name + '/bundle', directory=name,
    )
    try:
        certify.issue(task, datetime.datetime.now(datetime.timezone.utc))
    except certify.Failed as error:
        print(error)
"""


def prove() -> verdict.Verdict:
    """Run the cases, then the lab."""
    by_case = _cases.prove(CASES, "checks")
    wrong, lines, finding = play()
    trouble = f", {len(wrong)} things are wrong" if wrong else ""
    return verdict.Verdict(
        holds=by_case.holds and not wrong,
        figure=f"{by_case.figure}; {finding} of {len(boards.queries())} queries find series{trouble}",
        lines=(*by_case.lines, *lines, *wrong),
    )


def play() -> tuple[list[str], list[str], int]:
    """Bring up the lab, let things go wrong in it, and ask: what is wrong, what was found, how many find series."""
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(mesh.up("rules"))
        server = stack.enter_context(watched(where))
        began_s = mesh.now_s()
        busy(where, stack)
        ended_s = mesh.now_s()
        mesh.wait_until(lambda: mesh.now_s() - ended_s > LAST_S, 2 * LAST_S, "what came last is scraped twice")
        return judge(server, mesh.now_s() - began_s)


@contextlib.contextmanager
def watched(where: mesh.Mesh) -> Iterator[stored.Prometheus]:
    """Agents with keys and a collector, pods with and without a proxy, and a Prometheus that scrapes all of it."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ipseity-rules-")))
        keys = folder / "keys"
        keys.touch(mode=0o600)
        keys.write_text("000102030405060708090a0b0c0d0e0f\n")
        ill = [collector.status(503), collector.status(400), None, None]
        gathered = stack.enter_context(collector.apart(ill * 100))
        flags = ("--handshake-key-file", str(keys), "--otlp-endpoint", gathered.url, "--otlp-metrics-interval-s", "2")
        agents = stack.enter_context(lab.agents(where.lab, "--max-interval-s", "1", *flags))
        pods = "---".join(mesh.server(SHOP, name, node="node-a") for name in ("client", "web"))
        where.apply(mesh.namespace(SHOP) + pods + "---" + mesh.server(SHOP, "plain", inject=False, node="node-a"))
        where.ready(SHOP, "client", "web", "plain")
        where.kubectl("apply", "-f", "-", given=json.dumps(mesh.policy(SHOP, "web", mesh.accounts(SHOP, "client"))))
        rules = list((clone.ROOT / "deploy/prometheus").glob("*.rules.yaml"))
        scraped = targets(where, agents, stack)
        server = stack.enter_context(stored.running(scraped, rules, where.lab.kubeconfig))
        try:
            mesh.wait_until(lambda: server.up() == len(scraped), SETTLE_S, "everything is scraped")
        except TimeoutError as error:
            raise RuntimeError(f"not scraped: {server.down()}") from error
        yield server


def targets(where: mesh.Mesh, agents: dict[str, agent.Agent], stack: contextlib.ExitStack) -> list[stored.Target]:
    """Say what is scraped, with the labels of deploy/chart's PodMonitors."""
    found = [
        stored.Target(job="ipseity-agent", address=stack.enter_context(stored.relayed(it)), labels={"node": node})
        for node, it in agents.items()
    ]
    for namespace, job, port in (("ipseity-system", "ipseity-control", 8446), (SHOP, "ipseity-proxy", 15020)):
        for pod in where.get("pods", namespace):
            named = {"namespace": namespace, "pod": pod["metadata"]["name"]}
            if job == "ipseity-control" or "ipseity.io/meshed" in pod["metadata"]["labels"]:
                reached = f"{namespace}/pods/{pod['metadata']['name']}:{port}"
                found.append(stored.Target(job=job, address="", labels=named, pod=reached))
    return found


def busy(where: mesh.Mesh, stack: contextlib.ExitStack) -> None:
    """Let requests be answered, fail and be refused, connections fail, an address mislead and a token be refused."""
    plain = where.get("pods", SHOP, "-l", "app=plain")[0]["status"]["podIP"]
    where.apply(STRAY.replace('"CODE"', json.dumps(CODE.replace("PLAIN", plain))))
    client, stranger = where.pod(SHOP, "client"), where.pod(SHOP, "plain")
    steady = ("--rate", "10", "--seconds", str(TRAFFIC_S))
    load = ("load", "web", *steady)
    stack.enter_context(where.calling(SHOP, client, *load))
    stack.enter_context(where.calling(SHOP, client, *load, "--path", "/fail?status=503"))
    stack.enter_context(where.calling(SHOP, stranger, *load))
    stack.enter_context(where.calling(SHOP, client, "load", "plain", *steady))
    held = ("hold", "web", "--port", "7000", "--count", "2", "--seconds", str(TRAFFIC_S))
    stack.enter_context(where.calling(SHOP, client, *held))
    where.apply(mesh.server(SHOP, "late", node="node-a"))  # is asked about, and gets a certificate, while it is stored
    refused(where, stranger)
    began_s = time.monotonic()
    while time.monotonic() - began_s < TRAFFIC_S - 5:
        where.call(SHOP, client, "every", "web")
        refused(where, stranger)


def refused(where: mesh.Mesh, pod: str) -> None:
    """Ask for a certificate with a token that is none."""
    bundle = json.loads(where.kubectl("get", "configmap", "-n", SHOP, "ipseity-trust-bundle", "-o", "json"))["data"]
    words = ("/usr/bin/env", f"PYTHONPATH={clone.ROOT}", str(mesh.PYTHON), "-c", ASK, next(iter(bundle.values())))
    assert "refused" in where.run(SHOP, pod, *words)


def judge(server: stored.Prometheus, last_s: float) -> tuple[list[str], list[str], int]:
    """Ask every query of every panel, every choice, and every rule, of the last seconds."""
    wrong, lines, finding = [], [], 0
    for board in sorted({query.board for query in boards.queries()}):
        found = {
            query: server.series(query.filled(WINDOW), last_s) for query in boards.queries() if query.board == board
        }
        missing = [query for query, count in found.items() if not count]
        choices = {each: server.values(*each) for each in boards.variables(boards.FOLDER / f"{board}.json")}
        finds = sum(count > 0 for count in found.values())
        finding += finds
        lines.append(f"{board:13} {finds} of {len(found)} queries find {sum(found.values())} series")
        wrong += [f"NO SERIES: {board}: {query.panel} {query.ref}: {query.filled(WINDOW)}" for query in missing]
        wrong += [f"NO CHOICE: {board}: label_values{each}" for each, values in choices.items() if not values]
    rules = server.rules()
    records = [rule for rule in rules if rule["type"] == "recording"]
    empty = [rule["name"] for rule in records if not server.series(rule["name"], last_s)]
    ill = [f"RULE: {rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    wrong += ill + [f"NO SERIES: record {name}" for name in empty]
    lines.append(f"rules         {len(rules) - len(ill)} of {len(rules)} evaluated, {len(records)} of them recorded")
    return wrong, lines, finding
