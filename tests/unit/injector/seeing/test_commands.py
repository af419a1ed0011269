"""``ipseity edges`` and ``ipseity stat`` against a small API server and a recorded proxy.

Leaves out what is worked out: ``test_stat``, ``test_edges``.
"""

import asyncio
import contextlib
import io
import json
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click
import pytest
from aiohttp import web
from click import testing

from injector import names
from injector.policy import options
from injector.seeing import commands
from ipseity import screen
from tests.fakes import policy_api
from tests.scene import routed
from tests.unit.injector.seeing import test_measured, test_routed

ADDRESS, SILENT = "127.77.0.1", "127.77.0.2"


def pod(name: str, address: str) -> Any:
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "labels": {names.MESHED: "true"}},
        "spec": {"serviceAccountName": name, "containers": [{"name": "app"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


ROUTE = routed.http({"backendRefs": [routed.to("web")]})
COLLECTIONS: dict[str, list[Any]] = {
    "/api/v1/namespaces": [],
    "/api/v1/pods": [pod("web", ADDRESS), pod("client", SILENT)],
    "/api/v1/services": [],
    "/apis/discovery.k8s.io/v1/endpointslices": [],
    "/apis/ipseity.io/v1alpha1/authorizationpolicies": [],
    "/apis/gateway.networking.k8s.io/v1/httproutes": [
        {**ROUTE, "metadata": {**ROUTE["metadata"], "uid": "u", "generation": 1, "resourceVersion": "1"}}
    ],
    "/apis/gateway.networking.k8s.io/v1/grpcroutes": [],
}


class Proxy:
    """Says what Envoy said: twice before the calls, then after them."""

    def __init__(self) -> None:
        self.asked = 0

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, ADDRESS, names.STATUS_PORT).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        name = "before" if self.asked <= 2 else "after"
        sent = test_routed.text(19, 4) if name == "before" else test_routed.text(90, 10)
        return web.Response(text=(test_measured.FOLDER / f"{name}.prom").read_text() + sent)


@pytest.fixture
def config(tmp_path: pathlib.Path) -> Iterator[str]:
    with policy_api.in_thread(Proxy().serve), policy_api.kubeconfig(tmp_path, COLLECTIONS) as path:
        yield path


def ran(command: click.Command, config: str, *words: str) -> testing.Result:
    return testing.CliRunner().invoke(command, [*words, "--kubeconfig", config], standalone_mode=False)


def test_edges_are_printed_and_a_silent_proxy_is_named(config: str) -> None:
    """What is missing from the answer makes it exit code 1."""
    result = ran(commands.edges, config, "-n", "shop", "--via", "pods")
    assert "spiffe://cluster.local/ns/shop/sa/client  spiffe://cluster.local/ns/shop/sa/web" in result.stdout
    assert "warning: shop/client is not in it: " in result.stderr
    assert "hint: can the pods' addresses be reached from here? --via api" in result.stderr
    assert 1 == result.return_value


def test_stat_is_what_was_counted_in_the_window(config: str) -> None:
    """Not what was counted before."""
    result = ran(commands.stat, config, "--window", "1", "-o", "json", "--via", "pods")
    client, web_ = json.loads(result.stdout)["workloads"]
    assert (0, 14, 2) == (client["read"], web_["requests"], web_["failed"])
    assert 1 == result.return_value


def test_from_outside_the_api_server_is_asked(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And from a pod, the pods; a kubeconfig may be of any cluster, so that it is outside of all."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    result = ran(commands.edges, config)
    assert "warning: shop/web is not in it: the API server answered 404" in result.stderr
    assert commands._inside(options.Options())
    assert not commands._inside(options.Options(kubeconfig=config))


def test_no_sidecar_at_all_is_said(config: str) -> None:
    """With what to write."""
    result = ran(commands.edges, config, "-n", "empty")
    assert "no pod in namespace empty has a sidecar: annotate it with ipseity.io/inject: enabled" in result.stderr


def test_routes_and_what_they_carried(config: str) -> None:
    """All that was counted since the proxies began."""
    result = ran(commands.routes, config, "web", "-n", "shop", "--via", "pods", "-o", "json")
    ((rule,),) = (each["rules"] for each in json.loads(result.stdout)["routes"])
    assert (23, 4, "shop/web:8080") == (rule["requests"], rule["failed"], rule["backends"][0]["backend"])
    assert 1 == result.return_value  # one proxy is silent
    result = ran(commands.routes, config, "db", "--via", "pods")
    assert "no route has Service default/db as its parent" in result.stderr


def test_top_is_what_was_counted_in_the_window(config: str) -> None:
    """Once, where nobody looks at it change."""
    result = ran(commands.live, config, "--window", "1", "--via", "pods", "-o", "json")
    ((way),) = json.loads(result.stdout)["ways"]
    assert ("shop/web", 77, 6) == (way["service"], way["requests"], way["failed"])


async def test_top_is_drawn_again_on_a_terminal_until_somebody_ends_it(config: str) -> None:
    """On its second screen; what was seen last stays."""
    stream = io.StringIO()
    page = screen.Page(stream=stream, terminal=True, colour=False)
    loaded = options.Options(kubeconfig=config)
    asked = commands._Shown(namespace="", window_s=0.05, output="table")
    showing = asyncio.create_task(commands._top(loaded, "pods", page, asked))
    async with asyncio.timeout(20):
        while stream.getvalue().count("Ctrl-C ends") < 3:
            assert not showing.done()
            await asyncio.sleep(0.01)
    showing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await showing
    drawn, _, left = stream.getvalue().rpartition("\x1b[?1049l")
    assert "shop/web:8080  shop/r #1  shop/web" in drawn
    assert 1 == left.count("SERVICE")
