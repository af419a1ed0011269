"""Routes as a user meets them: applied with kubectl to a mesh that runs, in a lab of real pods.

Leaves out what each field does (``test_routes``): here is the whole way from kubectl to an answer and to a status.
"""

import collections
import concurrent.futures
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scene import clone, lab, mesh, routed

SETTLED_S = 20.0
LOAD_RATE, LOAD_S = 97, 12.0
Json = dict[str, Any]


@pytest.fixture(scope="module")
def where() -> Iterator[mesh.Mesh]:
    """Have a client and two Services; the Gateway API comes after the control plane."""
    with mesh.up("r-routes") as up:
        names = ("client", "web", "next")
        up.apply(mesh.namespace("shop") + "---".join(mesh.server("shop", name) for name in names))
        up.kubectl("apply", "-f", str(clone.ROOT / "deploy/crds/gateway-api"))
        up.ready("shop", *names)
        yield up
    assert [] == lab.left_behind("r-routes")


def apply(where: mesh.Mesh, *rules: Json) -> None:
    """Apply the route ``r`` for ``web``."""
    item = routed.http(*rules, port=8080)
    del item["metadata"]["creationTimestamp"]
    where.apply(json.dumps({"apiVersion": "gateway.networking.k8s.io/v1", **item}))


def ask(where: mesh.Mesh, *asked: Json) -> list[list[Json]]:
    """Ask from the client."""
    words = ["/usr/bin/env", f"PYTHONPATH={clone.ROOT}", str(mesh.PYTHON), "-m", "tests.traffic.asker"]
    said = where.run("shop", where.pod("shop", "client"), *words, json.dumps(asked))
    return list(json.loads(said.splitlines()[-1]))


def names(where: mesh.Mesh, count: int) -> collections.Counter[str]:
    """Count which Deployment answers, or the status."""
    ((*found,),) = ask(where, {"url": "http://web:8080/", "count": count})
    told = (each["body"]["name"].split("-")[0] if each["status"] == 200 else str(each["status"]) for each in found)
    return collections.Counter(told)


def seen(where: mesh.Mesh) -> int:
    """Give how many requests the pod that answers has had."""
    ((found,),) = ask(where, {"url": "http://web:8080/"})
    return int(found["body"]["seen"])


def asked(where: mesh.Mesh, *words: str) -> Json:
    """Run a command of ours on the host; gives its JSON."""
    command = [str(mesh.COMMAND), *words, "-o", "json", "--kubeconfig", str(where.lab.kubeconfig)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
    return dict(json.loads(done.stdout))


def reasons(where: mesh.Mesh) -> list[str]:
    """Give the reasons in the route's status."""
    (item,) = where.get("httproutes", "shop")
    parents = item.get("status", {}).get("parents", [])
    return [condition["reason"] for parent in parents for condition in parent["conditions"]]


def test_a_route_is_applied_says_so_and_is_taken_back(where: mesh.Mesh) -> None:
    """Weights, a broken backend, a Service without its route again."""
    apply(where, {"backendRefs": [routed.to("next")]})
    mesh.wait_until(lambda: reasons(where) == ["Accepted", "ResolvedRefs"], SETTLED_S, "the route is accepted")
    assert {"next": 23} == names(where, 23)
    (listed,) = asked(where, "routes", "web", "-n", "shop")["routes"]
    (rule,) = listed["rules"]
    assert ("shop/web", "Accepted", "shop/next:8080") == (
        listed["service"], listed["status"], rule["backends"][0]["backend"]
    )  # fmt: skip
    assert (23, 0) == (rule["backends"][0]["requests"], rule["failed"])
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        measuring = beside.submit(asked, where, "top", "-n", "shop", "--window", "3")
        while not measuring.done():
            names(where, 23)
    (way,) = measuring.result()["ways"]
    assert ("shop/web", "HTTPRoute shop/r", "shop/next", 1.0) == (
        way["service"], way["route"], way["backend"], way["successRate"]
    )  # fmt: skip
    apply(where, {"backendRefs": [routed.to("gone")]})
    mesh.wait_until(lambda: reasons(where) == ["Accepted", "BackendNotFound"], SETTLED_S, "its backend is missed")
    assert {"500": 23} == names(where, 23)
    where.kubectl("delete", "httproute", "r", "-n", "shop")
    mesh.wait_until(lambda: names(where, 7) == {"web": 7}, SETTLED_S, "all is as before")


def test_weights_that_move_lose_no_request(where: mesh.Mesh) -> None:
    """From one Service to the other in steps, under load: not one request fails."""
    apply(where, {"backendRefs": [routed.to("web", 100), routed.to("next", 0)]})
    mesh.wait_until(lambda: reasons(where) == ["Accepted", "ResolvedRefs"], SETTLED_S, "the route is accepted")
    words = ("load", "web", "--rate", str(LOAD_RATE), "--seconds", str(LOAD_S))
    with where.calling("shop", where.pod("shop", "client"), *words) as process:
        began = seen(where)
        mesh.wait_until(lambda: seen(where) > began + LOAD_RATE, SETTLED_S, "the load has begun")
        for share in range(0, 101, 20):
            apply(where, {"backendRefs": [routed.to("web", 100 - share), routed.to("next", share)]})
        mesh.wait_until(lambda: names(where, 7) == {"next": 7}, SETTLED_S, "all goes to next")
        found = mesh.result(process)
    assert {} == found["failures"]
    assert {"next", "web"} == {name.split("-")[0] for name in found["answered_by"]}
    where.kubectl("delete", "httproute", "r", "-n", "shop")
