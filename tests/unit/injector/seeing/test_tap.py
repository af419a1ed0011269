"""``ipseity tap``: whom it means, what it runs there, what it shows, and what it does when it may not.

Leaves out what a proxy tells (``tests/functional/injector/test_tap``), and Envoy's bytes (``sidecar/test_tap``).
"""

import json
import pathlib
from typing import Any

import pytest
from click import testing

from injector import errors, names
from injector.seeing import tap, tapping
from ipseity import identity
from tests.fakes import exec_api, policy_api

TRUST_DOMAIN = identity.TrustDomain("cluster.local")
SPIFFE = "spiffe://cluster.local/ns/shop/sa/"
RECORD = {
    "time": "2026-11-27T12:03:07.123Z", "direction": "inbound", "source": f"{SPIFFE}client", "method": "GET",
    "path": "/cart/\x1b[31m7", "authority": "web:8080", "protocol": "HTTP/1.1", "port": 8080, "status": 503,
    "grpcStatus": None, "milliseconds": 23, "flags": "UF", "requestBytes": 0, "responseBytes": 7,
}  # fmt: skip
SENT = {
    **RECORD, "direction": "outbound", "path": "/pay", "status": 200, "flags": "-", "destination": f"{SPIFFE}bank",
    "backend": "outbound|80|pay/bank", "routeKind": "HTTPRoute", "routeNamespace": "pay", "routeName": "r",
    "routeRule": "2",
}  # fmt: skip
DONE = b'{"level":"info","event":"tap","shown":2,"dropped":5}\n'


def pod(name: str, *, meshed: bool = True, owner: str = "web-5d4f8c7b9") -> dict[str, Any]:
    proxy = {"name": names.PROXY, "command": ["ipseity", "sidecar", "run"]}
    return {
        "metadata": {
            "namespace": "shop", "name": name, "uid": f"uid-{name}",
            "labels": {"pod-template-hash": "5d4f8c7b9", **({names.MESHED: "true"} if meshed else {})},
            "ownerReferences": [{"controller": True, "kind": "ReplicaSet", "name": owner}],
        },
        "spec": {
            "serviceAccountName": "web",
            "containers": [{"name": "app"}],
            "initContainers": [proxy] if meshed else [],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}]},
    }  # fmt: skip


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def ran(tmp_path: pathlib.Path, api: exec_api.ExecApi, *words: str) -> testing.Result:
    with policy_api.in_thread(api.serve):
        config = api.kubeconfig(tmp_path)
        return testing.CliRunner().invoke(
            tapping.command, [*words, "--kubeconfig", config], standalone_mode=False, catch_exceptions=False
        )


def test_a_workloads_pods_are_tapped(tmp_path: pathlib.Path) -> None:
    """Each by its own proxy's command; what comes in pieces is put together; what was lost is said."""
    whole = lines(RECORD, SENT)
    pieces = [(1, whole[:101]), (1, whole[101:]), (2, DONE), exec_api.ended()]
    api = exec_api.ExecApi([pod("web-1"), pod("web-2"), pod("other", owner="other")], pieces)
    result = ran(tmp_path, api, "shop/web", "-o", "json", "--share", "12.5", "--for", "3", "-c", "100")
    command = ["ipseity", "sidecar", "tap", "--share", "12.5", "--for", "3", "--most", "100", "--until-eof"]
    assert sorted((name, names.PROXY, command) for name in ("web-1", "web-2")) == sorted(api.asked)
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert {("shop/web-1", "inbound"), ("shop/web-1", "outbound"), ("shop/web-2", "inbound"),
            ("shop/web-2", "outbound")} == {(each["pod"], each["direction"]) for each in told}  # fmt: skip
    sent = next(each for each in told if each["direction"] == "outbound")
    assert (f"{SPIFFE}web", f"{SPIFFE}bank", "HTTPRoute pay/r", 2, "pay/bank:80", None) == (
        sent["sourceIdentity"], sent["destinationIdentity"], sent["route"], sent["rule"], sent["backend"], sent["flags"]
    )  # fmt: skip
    assert "warning: shop/web-1 had 5 more, faster than they could be written" in result.stderr
    assert 0 == result.return_value


def test_what_callers_sent_moves_no_cursor(tmp_path: pathlib.Path) -> None:
    """In a line for people; one direction only, and then no more than was asked for."""
    api = exec_api.ExecApi([pod("web-1")], [(1, lines(SENT, *[RECORD] * 7))])
    result = ran(tmp_path, api, "web-1", "-n", "shop", "--direction", "inbound", "-c", "3")
    header, *shown = result.stdout.splitlines()
    assert ["TIME", "SOURCE", "DESTINATION", "STATUS", "LATENCY", "ROUTE", "REQUEST"] == header.split()
    words = ["12:03:07.123", "shop/client", "shop/web", "503", "23.0", "ms", "-", "GET", "web:8080/cart/?[31m7", "UF"]
    assert [words] * 3 == [line.split() for line in shown]
    assert 1 == api.went_away  # the command in the pod hears of it by its standard input


def test_who_may_not_is_told_what_it_takes(tmp_path: pathlib.Path) -> None:
    result = ran(tmp_path, exec_api.ExecApi([pod("web-1")], [], allowed=False), "shop/web")
    assert "warning: shop/web-1 is not in it: the API server answered 403" in result.stderr
    assert "hint: the account needs the rights get and create on pods/exec" in result.stderr
    assert 1 == result.return_value


def test_what_the_pod_says_is_passed_on(tmp_path: pathlib.Path) -> None:
    """A command that ended badly, with its own words."""
    bad = exec_api.ended({"status": "Failure", "message": "command terminated with exit code 1"})
    said = (2, b"ipseity: error: somebody else taps this pod\n")
    result = ran(tmp_path, exec_api.ExecApi([pod("web-1")], [said, bad]), "shop/web")
    assert "warning: shop/web-1 is not in it: ipseity: error: somebody else taps this pod" in result.stderr
    assert 1 == result.return_value


def test_what_the_pod_says_moves_no_cursor(tmp_path: pathlib.Path) -> None:
    """Nor does it fill the screen; and a number of lost requests is a number."""
    bad = exec_api.ended({"status": "Failure", "message": "command terminated with exit code 1"})
    said = (2, b"no\x1b]0;title\x07\n\xe2\x80\xae" + b"x" * 9000)
    result = ran(tmp_path, exec_api.ExecApi([pod("web-1")], [said, bad]), "shop/web")
    assert f"warning: shop/web-1 is not in it: no?]0;title? ?{'x' * 486}...\n" == result.stderr
    lost = (2, b'{"dropped":"\\u001b[2J"}\n')
    result = ran(tmp_path, exec_api.ExecApi([pod("web-1")], [lost, exec_api.ended()]), "shop/web")
    assert "no request in that time\n" == result.stderr


@pytest.mark.parametrize(
    ("wanted", "words"), [("nobody", "no pod and no workload 'nobody'"), ("web", "web has no sidecar")]
)
def test_whom_it_cannot_mean_is_said(wanted: str, words: str) -> None:
    with pytest.raises(errors.CannotRun, match=words):
        tap.targets([pod("web-1", meshed=False), {"metadata": 7}], wanted)


@pytest.mark.parametrize(
    "line", [b"", b"7", b"{}", b'{"direction":"inbound"}', b'{"direction":"inbound","time":1,"port":"x"}']
)
def test_what_is_no_record_is_passed_over(line: bytes) -> None:
    (target,) = tap.targets([pod("web-1")], "web-1")
    assert tap.read(line, target, TRUST_DOMAIN) is None


def test_a_call_by_grpc_shows_its_own_status() -> None:
    (target,) = tap.targets([pod("web-1")], "web-1")
    told = tap.read(lines({**RECORD, "status": 200, "grpcStatus": 13, "source": None}), target, TRUST_DOMAIN)
    assert told is not None
    assert ["(no", "identity)", "shop/web", "grpc", "13"] == tap.Lines(width=None, colour=False).line(told).split()[1:6]
