"""What a pod gets to reach the API. Leaves out the way it reaches the pod: the contract tests have it."""

import copy
from typing import Any

import pytest

from comparisons.lab.api import access
from tests.fakes import recordings

ACCOUNT: dict[str, Any] = {"metadata": {"name": "default"}}


def pod(**spec: Any) -> dict[str, Any]:
    """Return a pod of two containers."""
    return {"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}], **spec}}


@pytest.mark.parametrize("recorded", recordings.load("pod-list")["items"], ids=lambda each: each["metadata"]["name"])
def test_as_recorded(recorded: dict[str, Any]) -> None:
    """A pod without its volume gets exactly the one that the real server gave it."""
    made = copy.deepcopy(recorded)
    spec = made["spec"]
    spec["volumes"] = [each for each in spec["volumes"] if not each["name"].startswith(access.VOLUME)]
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        container["volumeMounts"] = [each for each in container["volumeMounts"] if each["mountPath"] != access.PATH]
    access.give(made, {"metadata": {"name": spec["serviceAccountName"]}})
    name, old = spec["volumes"][-1]["name"], recorded["spec"]["volumes"][-1]["name"]
    assert len(old) == len(name)
    wanted = copy.deepcopy(recorded["spec"])
    wanted["volumes"][-1]["name"] = name
    for container in [*wanted.get("initContainers", ()), *wanted["containers"]]:
        container["volumeMounts"][-1]["name"] = name
    assert wanted == spec


@pytest.mark.parametrize(
    ("of_pod", "of_account", "given"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_who_decides(*, of_pod: bool | None, of_account: bool | None, given: bool) -> None:
    """The pod, then its account; else there is one."""
    made = pod() if of_pod is None else pod(automountServiceAccountToken=of_pod)
    account = ACCOUNT if of_account is None else {**ACCOUNT, "automountServiceAccountToken": of_account}
    access.give(made, account)
    assert given == ("volumes" in made["spec"])


def test_twice_is_once() -> None:
    """A container that comes later gets the same volume; what is mounted there already stays."""
    made = pod()
    access.give(made, ACCOUNT)
    first = copy.deepcopy(made)
    access.give(made, ACCOUNT)
    assert first == made
    own = {"name": "own", "volumeMounts": [{"name": "mine", "mountPath": access.PATH}]}
    made["spec"]["initContainers"][:0] = [{"name": "sidecar"}, own]
    access.give(made, ACCOUNT)
    assert 1 == len(made["spec"]["volumes"])
    assert first["spec"]["containers"][0]["volumeMounts"] == made["spec"]["initContainers"][0]["volumeMounts"]
    assert "mine" == made["spec"]["initContainers"][1]["volumeMounts"][0]["name"]


def test_a_pod_whose_containers_all_have_one_gets_no_volume() -> None:
    """Nothing would show it."""
    mounted = {"volumeMounts": [{"name": "mine", "mountPath": access.PATH}]}
    made = {"spec": {"containers": [{"name": "c", **mounted}]}}
    access.give(made, ACCOUNT)
    assert "volumes" not in made["spec"]


def test_pull_secrets_of_the_account() -> None:
    """The account's, unless the pod has its own."""
    account = {**ACCOUNT, "imagePullSecrets": [{"name": "registry"}]}
    made, other = pod(), pod(imagePullSecrets=[{"name": "own"}])
    access.give(made, account)
    access.give(other, account)
    assert [["registry"], ["own"]] == [
        [it["name"] for it in each["spec"]["imagePullSecrets"]] for each in (made, other)
    ]
