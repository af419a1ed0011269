"""``ipseity authz explain`` against a small API server: what is read, printed and returned.

Leaves out what is answered: ``test_explain``.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from click import testing

from injector import errors
from injector.policy import commands
from tests.fakes import policies, policy_api


def pod(name: str, *, injected: bool = True) -> Any:
    labels = {"app": name, **({"ipseity.io/meshed": "true"} if injected else {})}
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "labels": labels},
        "spec": {
            "serviceAccountName": name,
            "containers": [{"name": "app", "ports": [{"containerPort": 5432, "name": "pg"}]}],
        },
        "status": {"phase": "Running", "podIP": "10.7.0.2", "podIPs": [{"ip": "10.7.0.2"}]},
    }


COLLECTIONS: dict[str, list[Any]] = {
    "/api/v1/namespaces": [{"metadata": {"name": "shop", "uid": "n"}}],
    "/api/v1/pods": [pod("client"), pod("web"), pod("db"), pod("bare", injected=False)],
    "/api/v1/services": [],
    "/apis/discovery.k8s.io/v1/endpointslices": [],
    "/apis/ipseity.io/v1alpha1/authorizationpolicies": [
        policies.item(rules=policies.admitting("web")),
        policies.item("wrong", rules="all"),
    ],
}


@pytest.fixture
def config(tmp_path: pathlib.Path) -> Iterator[str]:
    with policy_api.kubeconfig(tmp_path, COLLECTIONS) as path:
        yield path


def ran(config: str, *words: str) -> tuple[Any, testing.Result]:
    """Run it; gives what the command returned, which the front door makes the exit code."""
    result = testing.CliRunner().invoke(
        commands.authz, ["explain", *words, "--kubeconfig", config], standalone_mode=False
    )
    return result.return_value, result


def test_a_refusal_is_explained_and_is_exit_code_1(config: str) -> None:
    """For people, with what could not be read as warnings beside it."""
    code, result = ran(config, "shop/client", "shop/db:5432")
    assert code == 1
    assert result.stdout.startswith("DENIED   shop/db admits spiffe://cluster.local/ns/shop/sa/web only   (Auth")
    assert "to allow: add ServiceAccount client" in result.stdout
    assert "warning: AuthorizationPolicy shop/wrong: spec.rules" in result.stderr


def test_what_is_allowed_is_exit_code_0(config: str) -> None:
    """By the port's name too, and in a namespace that is given once."""
    code, result = ran(config, "web", "db:pg", "-n", "shop")
    assert code == 0
    assert result.stdout.startswith("ALLOWED  shop/db admits")


def test_programs_get_one_document(config: str) -> None:
    """With every field, also those that are empty."""
    code, result = ran(config, "shop/bare", "shop/db:5432", "-o", "json")
    (found,) = json.loads(result.stdout)["answers"]
    assert (1, "denied", "no-identity") == (code, found["verdict"], found["reason"])
    assert found["sourceIdentity"] is None
    assert found["destinationIdentity"] == "spiffe://cluster.local/ns/shop/sa/db"
    assert found["toAllow"].startswith("inject shop/bare")


def test_what_is_not_there_cannot_be_told(config: str) -> None:
    """The front door makes this exit code 2."""
    _, result = ran(config, "shop/client", "shop/nobody:1")
    assert isinstance(result.exception, errors.CannotTell)
    _, result = ran(config, "shop/client", "shop/db:1", "--trust-domain", "A B")
    assert isinstance(result.exception, errors.CannotRun)


def test_a_cluster_without_our_kinds_still_answers(tmp_path: pathlib.Path) -> None:
    """Nothing is governed, and it says why."""
    bare = {path: items for path, items in COLLECTIONS.items() if "ipseity" not in path}
    with policy_api.kubeconfig(tmp_path, bare) as config:
        code, result = ran(config, "shop/client", "shop/db:5432")
    assert code == 0
    assert "warning: this cluster does not know AuthorizationPolicy: apply deploy/crds" in result.stderr
