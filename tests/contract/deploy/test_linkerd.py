"""What proxies count, as Linkerd's users query it: a real Envoy's text, scraped as we say, judged by promtool.

The two queries are those that Flagger's Linkerd provider has built in (flagger: pkg/metrics/observers/linkerd.go); the
third is how Linkerd's dashboards ask for a workload's callers (linkerd2: grafana/dashboards/deployment.json). Leaves
out the pods (``tests/functional/injector``): both sides of a call are in one Envoy, behind sockets in a directory.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import json_format

from injector.cluster import model as cluster
from injector.discovery import consistency, counted, naming, resource, routing
from injector.discovery import http as passing
from injector.routes import attach, model, reading
from injector.seeing import exposition
from injector.sidecar import bootstrap
from tests.scene import chart, clone, routed

ENVOY: Final = pathlib.Path(sysconfig.get_path("purelib")) / "envoy/_bin/envoy"
SCRAPE: Final = clone.ROOT / "deploy/prometheus/scrape/proxies.yaml"
PATIENCE_S: Final = 30.0
FOUND: Final = {
    "__meta_kubernetes_namespace": "shop",
    "__meta_kubernetes_pod_name": "web-5d4f8c7b9-x2x4z",
    "__meta_kubernetes_pod_controller_kind": "ReplicaSet",
    "__meta_kubernetes_pod_controller_name": "web-5d4f8c7b9",
    "__meta_kubernetes_pod_label_pod_template_hash": "5d4f8c7b9",
    "__meta_kubernetes_pod_label_ipseity_io_meshed": "true",
    "__meta_kubernetes_pod_container_port_name": "ipseity-status",
}
"""What Prometheus knows of a pod that it has found."""
SUCCESS_RATE: Final = (
    'sum(rate(response_total{namespace="shop",deployment=~"web",classification!="failure",direction="inbound"}[1m]))'
    ' / sum(rate(response_total{namespace="shop",deployment=~"web",direction="inbound"}[1m])) * 100'
)
DURATION: Final = (
    "histogram_quantile(0.99, sum(rate(response_latency_ms_bucket"
    '{namespace="shop",deployment=~"web",direction="inbound"}[1m])) by (le))'
)
CALLERS: Final = (
    'count(count(request_total{dst_namespace="shop", deployment!="", dst_deployment!="", dst_deployment="web", '
    'direction="outbound"}) by (namespace, deployment))'
)
Series = dict[str, float]


class Local(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("local", timeout=PATIENCE_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask(path: pathlib.Path, target: str, **headers: str) -> tuple[int, str]:
    """Ask once."""
    with contextlib.closing(Local(path)) as connection:
        connection.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def pipe(path: pathlib.Path) -> Any:
    return address_pb2.Address(pipe=address_pb2.Pipe(path=str(path)))


def listener(name: str, path: pathlib.Path, manager: Any) -> Any:
    chain = listener_components_pb2.FilterChain(filters=[manager])
    return listener_pb2.Listener(name=name, address=pipe(path), filter_chains=[chain])


def application() -> Any:
    """Answer by path; by gRPC an error in a 200."""
    host = route_components_pb2.VirtualHost(name="all", domains=["*"])
    for path, status, call in (("/bad", 503, ""), ("/call/bad", 200, "13"), ("/call/good", 200, "5"), ("/", 200, "")):
        entry = host.routes.add(match=route_components_pb2.RouteMatch(prefix=path))
        entry.direct_response.status = status
        if call:
            added = entry.response_headers_to_add.add()
            added.header.key, added.header.value = "grpc-status", call
    return route_pb2.RouteConfiguration(name="application", virtual_hosts=[host])


def rules() -> attach.Rules:
    """Attach a route with two rules to the Service."""
    written = routed.http(
        {"matches": [routed.path("/moved")], "filters": [routed.changed(
            "RequestRedirect", "requestRedirect", statusCode=302, hostname="elsewhere")]},
        {"backendRefs": [routed.to("web", port=80)]},
    )  # fmt: skip
    port = cluster.ServicePort(name="", port=80, target=8080, protocol=cluster.Protocol.HTTP)
    service = cluster.Service(namespace="shop", name="web", addresses=("10.0.0.1",), ports=(port,), endpoints={})
    attached = attach.attach({"shop/web": service}, [reading.route(written, model.Kind.HTTP)], [])
    found = attached.rules("shop/web", 80)
    assert found is not None
    return found


def configuration(top: pathlib.Path) -> dict[str, Any]:
    """Write what Envoy is started with: managers, routes and statistics are ours, the sockets are the test's."""
    extras = passing.Extras(logs=counted.inbound("8080", secured=True))
    served = passing.manager("inbound|8080|shop/client", application(), passing.ClientCert.DROPPED, extras)
    name = naming.service(80, "shop/web")
    told = consistency.decode(resource.ROUTE, routing.route("shop/web", rules(), port=80))
    calling = passing.manager("outbound", told, passing.ClientCert.DROPPED, passing.Extras(logs=counted.outbound()))
    there = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=pipe(top / "in")),
        metadata=counted.endpoint("deployment/web", secured=True),
    )
    locality = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[there])
    backend = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.STATIC,
        metadata=counted.service("shop/web"),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[locality]),
    )
    listeners = [listener("in", top / "in", served), listener("out", top / "out", calling)]
    return {
        "admin": {"address": {"pipe": {"path": str(top / "admin")}}},
        "static_resources": {
            "listeners": [json_format.MessageToDict(each, preserving_proto_field_name=True) for each in listeners],
            "clusters": [json_format.MessageToDict(backend, preserving_proto_field_name=True)],
        },
        "stats_config": bootstrap._stats_config(),
        "stats_flush_on_admin": True,
    }


@pytest.fixture(scope="module")
def sockets() -> Iterator[pathlib.Path]:
    """Run it, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as place:
        top = pathlib.Path(place)
        (top / "envoy.json").write_text(json.dumps(configuration(top)))
        words = (ENVOY, "-c", top / "envoy.json", "--disable-hot-restart", "--concurrency", "1", "-l", "error")
        process = subprocess.Popen([*map(str, words)], cwd=top)
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not _serves(top):
                assert process.poll() is None
                assert time.monotonic() < until_s
                os.sched_yield()
            yield top
        finally:
            process.kill()
            process.wait()


def _serves(top: pathlib.Path) -> bool:
    try:
        return ask(top / "admin", "/ready")[0] == http.client.OK
    except OSError:
        return False


def relabelled(labels: Mapping[str, str], rules: list[dict[str, Any]]) -> dict[str, str] | None:
    """Do what Prometheus does with the rules that we have: keep, and replace; None: it is not kept."""
    made = dict(labels)
    for rule in rules:
        text = ";".join(made.get(name, "") for name in rule["source_labels"])
        found = re.fullmatch(rule.get("regex", "(.*)"), text)
        if rule.get("action") == "keep" and not found:
            return None
        if found and "target_label" in rule:
            made[rule["target_label"]] = found[1]
    return made


def scraped(sockets: pathlib.Path) -> Series:
    """Scrape, as the job says, until every answer's time is there: Envoy puts histograms together after the scrape."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        found = scraped_once(sockets)
        answers, times = (
            sum(value for name, value in found.items() if name.startswith(f"{kind}{{"))
            for kind in ("response_total", "response_latency_ms_count")
        )
        if answers == times:
            return found
        assert time.monotonic() < until_s, f"{answers} answers, {times} times"
        time.sleep(0.05)  # noqa: TID251  # another process counts, and says so only when asked


def scraped_once(sockets: pathlib.Path) -> Series:
    """Scrape, as the job says."""
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    target = relabelled(FOUND, job["relabel_configs"])
    assert target is not None
    _, text = ask(sockets / "admin", "/stats/prometheus?usedonly")
    names = frozenset(re.findall(r"(?m)^envoy_ipseity_\w+", text))
    made: Series = {}
    for sample in exposition.samples(text, names):
        labels = {**sample.labels, **{key: value for key, value in target.items() if not key.startswith("__")}}
        series = relabelled({**labels, "__name__": sample.name}, job["metric_relabel_configs"])
        assert series is not None
        name = series.pop("__name__")
        said = ", ".join(f'{key}="{value}"' for key, value in sorted(series.items()) if value)
        made[f"{name}{{{said}}}"] = sample.value
    return made


def round_of(sockets: pathlib.Path) -> None:
    """Ask 25 times: 19 answers that are well (of which one says "not found" by gRPC), and 6 that are not."""
    for path in ("/a",) * 18 + ("/bad",) * 5:
        ask(sockets / "out", f"{path}?secret=s3cr3t")
    for path in ("/call/good", "/call/bad"):
        ask(sockets / "out", path, content_type="application/grpc")


def test_flaggers_queries_and_a_dashboards(sockets: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Over four scrapes: the success rate to the digit, a p99 that is a time, and one caller."""
    scrapes = []
    for _ in range(4):
        round_of(sockets)
        scrapes.append(scraped(sockets))
    steps = [{"series": name, "values": " ".join(str(each[name]) for each in scrapes)} for name in scrapes[0]]
    expected = {
        f"round({SUCCESS_RATE}, 0.001)": 76,  # 19 of 25
        f"count(({DURATION}) > 0 and ({DURATION}) <= 30000)": 1,
        CALLERS: 1,
    }
    tests = [
        {"expr": query, "eval_time": "90s", "exp_samples": [{"labels": "{}", "value": value}]}
        for query, value in expected.items()
    ]
    case = {"interval": "30s", "input_series": steps, "promql_expr_test": tests}
    file = tmp_path / "linkerd.test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "tests": [case]}))
    words = [str(clone.ROOT / ".venv/bin/promtool"), "test", "rules", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_series_say_which_route_and_which_backend(sockets: pathlib.Path) -> None:
    """And who called whom, proven or not; a redirect reached no backend."""
    round_of(sockets)
    ask(sockets / "out", "/moved")
    pod = 'deployment="web", {}namespace="shop", {}pod="web-5d4f8c7b9-x2x4z", '
    called = 'parent_name="web", parent_namespace="shop", parent_port="80", '
    route = 'route_kind="HTTPRoute", route_name="r", route_namespace="shop", route_rule="{}"'
    to = 'direction="outbound", dst_deployment="web", dst_namespace="shop", dst_service="web", '
    found = {name for name in scraped(sockets) if name.startswith("response_total")}
    assert {
        *(
            f'response_total{{classification="{outcome}", {pod.format(to, called)}{route.format(2)}, tls="true"}}'
            for outcome in ("success", "failure")
        ),
        f'response_total{{classification="success", {pod.format(_OUT, called)}{route.format(1)}}}',
        *(
            f'response_total{{classification="{outcome}", {pod.format(_IN, "")}target_port="8080", tls="true"}}'
            for outcome in ("success", "failure")
        ),
    } == found


_OUT, _IN = 'direction="outbound", ', 'direction="inbound", '


def test_no_request_makes_a_series(sockets: pathlib.Path) -> None:
    """Paths, queries, hosts and headers are the caller's; labels are the configuration's."""
    round_of(sockets)
    before = scraped(sockets)
    for number in range(23):
        ask(sockets / "out", f"/{number}?token=s3cr3t", host=f"h{number}", x_user=f"u{number}")
    after = scraped(sockets)
    assert before.keys() == after.keys()
    assert "s3cr3t" not in "".join(after)


def test_the_chart_scrapes_as_we_say() -> None:
    """The PodMonitor has the same rules, but for those that the operator brings."""
    objects = chart.rendered({"monitoring": {"podMonitors": True}, "mesh": {"enabled": True}})
    (endpoint,) = chart.find(objects, "PodMonitor", "ipseity-proxies")["spec"]["podMetricsEndpoints"]
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    mine = [each for each in job["relabel_configs"] if each.get("target_label") not in {None, "namespace", "pod"}]
    assert [_camel(each) for each in mine] == endpoint["relabelings"][1:]
    assert [_camel(each) for each in job["metric_relabel_configs"]] == endpoint["metricRelabelings"]


def _camel(rule: dict[str, Any]) -> dict[str, Any]:
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    return {names.get(key, key): value for key, value in rule.items()}


def test_every_series_and_label_is_documented(sockets: pathlib.Path) -> None:
    """It is a promise."""
    page = (clone.ROOT / "docs/metrics.md").read_text()
    round_of(sockets)
    words = {word for name in scraped(sockets) for word in re.findall(r"(\w+)(?==|\{)", name)} - {"le", "pod"}
    assert len(words) > 15
    assert [] == sorted(word for word in words if f"`{re.sub('_(sum|count)$', '_bucket', word)}`" not in page)
