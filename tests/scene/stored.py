"""A real Prometheus that scrapes what it is told to, every five seconds, and answers queries; gone without a trace.

The server is Debian's, unpacked from its package and not installed (deploy/debian/prometheus). Leaves out what is
scraped and what is asked.
"""

import base64
import contextlib
import dataclasses
import json
import math
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tests.scene import agent, clone

PROXIES = "ipseity-proxy"
SCRAPE = clone.ROOT / "deploy/prometheus/scrape/proxies.yaml"
PROGRAM = clone.ROOT / ".venv/bin/prometheus"
READY_S = 30.0
_STEP_S = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is scraped, with the labels that the chart's PodMonitors would give it."""

    job: str
    address: str
    labels: Mapping[str, str]
    pod: str = ""
    """Where it is a pod's, ``NAMESPACE/pods/NAME:PORT``: it is reached through the API server, as by kubectl."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A server that runs."""

    url: str

    def get(self, path: str, **words: str | Sequence[str]) -> Any:
        """Ask its API; gives ``data``."""
        query = urllib.parse.urlencode(words, doseq=True)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        """Tell whether it answers."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def series(self, expr: str, last_s: float) -> int:
        """Count the series that a query has had in the last seconds, with a number in them."""
        now_s = time.time()  # noqa: TID251  # the server's own clock
        found = self.get("query_range", query=expr, start=str(now_s - last_s), end=str(now_s), step=str(_STEP_S))
        return sum(any(math.isfinite(float(value)) for _, value in each["values"]) for each in found["result"])

    def values(self, metric: str, label: str) -> list[str]:
        """Give what Grafana offers for ``label_values(metric, label)``."""
        return [value for value in self.get(f"label/{label}/values", **{"match[]": metric}) if value]

    def up(self) -> int:
        """Count the targets that are scraped."""
        return sum(each["health"] == "up" for each in self.get("targets")["activeTargets"])

    def down(self) -> list[str]:
        """Give what is not scraped, and why."""
        found = [each for each in self.get("targets")["activeTargets"] if each["health"] != "up"]
        return [f"{each['scrapeUrl']}: {each['lastError'] or each['health']}" for each in found]

    def rules(self) -> list[dict[str, Any]]:
        """Give every rule, with what became of it."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


def _shipped() -> dict[str, Any]:
    """Give the scrape job that users have: what names its series get is a part of it."""
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    return dict(job)


def _jobs(targets: Sequence[Target], kubeconfig: pathlib.Path, folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Write what is scraped as Prometheus wants it; what is a pod's with the rights of the kubeconfig."""
    known = yaml.safe_load(kubeconfig.read_text())
    cluster, user = known["clusters"][0]["cluster"], known["users"][0]["user"]
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    for each in targets:
        job: dict[str, Any] = {"job_name": f"{each.job}/{each.address}/{each.pod}"}
        labels = {**each.labels, "job": each.job}
        if each.pod:
            job |= {
                "scheme": "https",
                "metrics_path": f"/api/v1/namespaces/{each.pod}/proxy/metrics",
                "authorization": {"credentials": user["token"]},
                "tls_config": {"ca_file": str(folder / "ca.crt")},
            }
        if each.job == PROXIES:
            job["metric_relabel_configs"] = _shipped()["metric_relabel_configs"]
        address = cluster["server"].removeprefix("https://") if each.pod else each.address
        yield {**job, "static_configs": [{"targets": [address], "labels": labels}]}


@contextlib.contextmanager
def running(targets: Sequence[Target], rules: Sequence[pathlib.Path], kubeconfig: pathlib.Path) -> Iterator[Prometheus]:
    """Start one; it has nothing of what was before."""
    subprocess.run([clone.ROOT / "deploy/debian/prometheus", PROGRAM], check=True)
    with tempfile.TemporaryDirectory(prefix="ipseity-prometheus-") as name:
        folder = pathlib.Path(name)
        config = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": list(_jobs(targets, kubeconfig, folder)),
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{_free_port()}"
        words = ["--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, *words, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            server = Prometheus(url=f"http://{address}")
            agent.wait_until(server.ready, READY_S, "Prometheus is ready")
            yield server
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.contextmanager
def relayed(watched: agent.Agent) -> Iterator[str]:
    """Let an agent be scraped as in a cluster: by the process of the container beside it. Gives its address."""
    port = _free_port()
    words = ["/usr/bin/python3", "-I", "-S", clone.ROOT / "deploy/image/relay.py", watched.socket, str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
