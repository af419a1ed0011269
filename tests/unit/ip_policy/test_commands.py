"""``ipseity ip-policy explain`` and ``render`` with files: answers, exit codes, and what they say of bad input.

``run`` needs a lab: ``tests/functional/ip_policy/test_agent.py``. Leaves out asking a cluster, which that does, too.
"""

import json
import pathlib

import pytest

from comparisons.ip_policy import commands
from ipseity import cli
from tests.fakes import policed_cluster as cast


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    """Give a file with a cluster: a List, and a policy as a document of its own."""
    path = tmp_path / "cluster.yaml"
    listed = {"kind": "List", "items": cast.objects()}
    unrelated = {"kind": "ConfigMap", "metadata": {"name": "c"}}
    path.write_text("\n---\n".join(json.dumps(each) for each in (listed, cast.ADMIT_WEB, unrelated)) + "\n---\n")
    return str(path)


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.run(["ip-policy", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_explain(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """Both families of two pods, with the rule."""
    code, said, _ = ask(capsys, "explain", "--offline", "-f", file, "shop/web", "shop/db:5432")
    assert 0 == code
    assert "shop/web (10.7.1.2) -> shop/db (10.7.1.3) 5432/tcp: allowed" in said
    assert "shop/web (fd00:1::2) -> shop/db (fd00:1::3) 5432/tcp: allowed" in said
    assert "  ingress: allowed: shop/db-clients, rule 1, admits it" in said


def test_explain_a_denial(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """Exit code 1; a node is called by its name; --namespace is of names without one."""
    words = ("explain", "--offline", "-f", file, "-n", "shop", "172.30.0.2", "db:53/udp")
    code, said, _ = ask(capsys, *words)
    assert 1 == code
    assert "node node-b (172.30.0.2) -> shop/db (10.7.1.3) 53/udp: denied" in said
    assert "  ingress: denied: no rule of shop/db-clients admits it" in said


def test_explain_as_json(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """The same as values; a port by its name."""
    _, said, _ = ask(capsys, "explain", "--offline", "-f", file, "-o", "json", "shop/db", "shop/web:http")
    first = json.loads(said)[0]
    assert (8080, "TCP", True) == (first["port"], first["protocol"], first["allowed"])
    assert {"allowed": True, "reason": "not_isolated", "isolatedBy": [], "policy": None, "rule": None} == first[
        "ingress"
    ]


def test_a_later_file_takes_the_place(capsys: pytest.CaptureFixture[str], file: str, tmp_path: pathlib.Path) -> None:
    """As if it were applied."""
    (tmp_path / "new.yaml").write_text(json.dumps(cast.policy("db-clients", {"podSelector": {}, "ingress": []})))
    words = ("explain", "--offline", "-f", file, "-f", str(tmp_path / "new.yaml"), "shop/web", "shop/db:5432")
    assert 1 == ask(capsys, *words)[0]


def test_render(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """What nft -f would take; the same each time."""
    code, said, _ = ask(capsys, "render", "--offline", "-f", file, "--node", "node-a")
    assert 0 == code
    assert said == ask(capsys, "render", "--offline", "-f", file, "--node", "node-a")[1]
    assert "add map inet ipseity-policy ingress4 { type ipv4_addr : verdict; }" in said
    assert "tcp dport { 5432 } accept" in said
    assert "stray drop" not in ask(capsys, "render", "--offline", "-f", file, "--node", "node-a", "--no-strict")[1]


BAD = [
    (("explain", "--offline", "a", "b:1"), "--offline without a file: nothing to decide about"),
    (("explain", "--offline", "-f", "/nonexistent", "a", "b:1"), "cannot read /nonexistent: No such file or directory"),
    (("explain", "--offline", "-f", "FILE", "shop/web", "shop/db"), "destination 'shop/db': no port"),
    (("explain", "--offline", "-f", "FILE", "shop/web", "shop/no:1"), "pod shop/no is not there"),
    (("explain", "--offline", "-f", "FILE", "shop/web", "shop/db:0"), "port '0': neither from 1 to 65535 nor"),
    (
        ("explain", "--offline", "-f", "FILE", "shop/web", "shop/db:1/icmp"),
        "protocol 'icmp': neither tcp, udp nor sctp",
    ),
    (("explain", "--offline", "-f", "FILE", "10.0.0.1", "[fd00::1]:1"), "have no addresses of one family"),
    (("render", "--offline", "-f", "FILE", "--node", "node-c"), "there is no node 'node-c'"),
    (("run", "--node", "node-a", "--netns", "/nonexistent"), "network namespace /nonexistent: there is none"),
    (("run", "--node", "node-a", "--log", "/nonexistent/log"), "cannot write /nonexistent/log: No such file"),
]


@pytest.mark.parametrize(("words", "error"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input(capsys: pytest.CaptureFixture[str], file: str, words: tuple[str, ...], error: str) -> None:
    """Exit code 2, and the value that was wrong."""
    code, _, said = ask(capsys, *(file if word == "FILE" else word for word in words))
    assert 2 == code
    assert error in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", "cannot read"),
        ("just words", "str where a Kubernetes object was expected"),
        (json.dumps(cast.policy("p", {"ingress": [{"from": [{}]}]})), "NetworkPolicy p: a peer without podSelector"),
        (json.dumps(cast.policy("p", {"policyTypes": ["Both"]})), "NetworkPolicy p: policyTypes: ['Both']"),
        (
            json.dumps(cast.policy("p", {"ingress": [{"ports": [{"protocol": "GRE"}]}]})),
            "'GRE' is not a valid Protocol",
        ),
        (json.dumps({"kind": "NetworkPolicy", "metadata": {}}), "NetworkPolicy without a name: there is no 'name'"),
    ],
)
def test_bad_files(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, text: str, error: str) -> None:
    """The object is named, and what is wrong with it."""
    (tmp_path / "f").write_text(text)
    code, _, said = ask(capsys, "explain", "--offline", "-f", str(tmp_path / "f"), "10.0.0.1", "10.0.0.2:1")
    assert 2 == code
    assert error in said
    assert "hint: " in said


def test_the_group_is_registered() -> None:
    """Under the name that the documentation has."""
    assert "ip-policy" == commands.ip_policy.name
