"""The chart says the same as the rest of the repository: the mesh's manifest, the agent's needs, the version.

Leaves out whether rights are enough: ``tests/contract/injector/test_roles.py`` and ``test_rights`` beside this file.
"""

import importlib.metadata
import pathlib
from typing import Any

import yaml

from agent import requirements
from injector import names
from tests.scene import chart, clone

MESH = clone.ROOT / "deploy/mesh/control-plane.yaml"


def missing(wanted: Any, found: Any, where: str = "") -> list[str]:
    """Say what of ``wanted`` is not in ``found``; lists have the same length, maps may have more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            fault
            for key, value in wanted.items()
            for fault in (missing(value, found[key], f"{where}.{key}") if key in found else [f"{where}.{key}: missing"])
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            fault
            for place, (one, other) in enumerate(zip(wanted, found, strict=True))
            for fault in missing(one, other, f"{where}[{place}]")
        ]
    return [] if wanted == found else [f"{where}: {found!r} is not {wanted!r}"]


def test_the_mesh_is_that_of_its_own_manifest() -> None:
    """Whoever changes deploy/mesh changes deploy/chart/templates/mesh as well: same objects, same rights, same pod."""
    rendered = chart.rendered({"namespace": {"create": True}})
    faults = [
        fault
        for each in chart.documents(MESH.read_text())
        for fault in missing(
            each,
            chart.find(rendered, each["kind"], each["metadata"]["name"]),
            f"{each['kind']}/{each['metadata']['name']}",
        )
    ]
    assert [] == faults


def test_rights_are_no_more_than_those_of_the_manifest() -> None:
    """Lists of rules are compared whole above; here, that there are no other roles."""
    wanted = {role(each) for each in chart.documents(MESH.read_text()) if "Role" in each["kind"]}
    found = {role(each) for each in chart.rendered({"agent": {"enabled": False}}) if "Role" in each["kind"]}
    assert wanted == found


def role(each: chart.Json) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def test_the_agent_has_the_capabilities_that_it_asks_for() -> None:
    """Those that ``ipseity check`` looks for, and no other."""
    (agent, metrics) = chart.find(chart.rendered(), "DaemonSet", "ipseity-agent")["spec"]["template"]["spec"][
        "containers"
    ]
    assert {each.name for each in requirements.CAPABILITIES} == set(agent["securityContext"]["capabilities"]["add"])
    assert {"drop": ["ALL"]} == metrics["securityContext"]["capabilities"]


def test_without_network_namespaces_the_agent_has_what_it_cannot_do_without() -> None:
    values = {"agent": {"enterNetworkNamespaces": False}}
    pod = chart.find(chart.rendered(values), "DaemonSet", "ipseity-agent")["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    needed = {each.name for each in requirements.CAPABILITIES if each.required}
    assert needed <= set(security["capabilities"]["add"])
    assert "SYS_ADMIN" not in security["capabilities"]["add"]
    assert security["allowPrivilegeEscalation"] is False


def test_nothing_runs_with_more_than_it_says() -> None:
    """Every container, whatever values were given: read-only root, a seccomp profile, nothing but what is added."""
    for path in sorted((clone.ROOT / "tests/golden/deploy").glob("*.golden.yaml")):
        for container in containers(path):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, container["name"]
            if container["name"] != "mount-bpffs":
                assert security["capabilities"]["drop"] == ["ALL"], container["name"]
                assert security["seccompProfile"] == {"type": "RuntimeDefault"}, container["name"]
                assert "privileged" not in security, container["name"]


def containers(path: pathlib.Path) -> list[chart.Json]:
    """Give all containers of a rendered file."""
    pods = [
        each["spec"]["template"]["spec"]
        for each in chart.documents(path.read_text())
        if "template" in each.get("spec", {})
    ]
    return [container for pod in pods for key in ("initContainers", "containers") for container in pod.get(key, [])]


def test_only_the_agent_gets_a_token() -> None:
    """The process that listens on the network could do nothing with it."""
    pod = chart.find(chart.rendered(), "DaemonSet", "ipseity-agent")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (token,) = (volume["name"] for volume in pod["volumes"] if "projected" in volume)
    assert ["agent"] == [
        each["name"] for each in pod["containers"] if token in {m["name"] for m in each["volumeMounts"]}
    ]


def test_versions_are_one() -> None:
    """The images that are pulled are those of this version."""
    described = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert {importlib.metadata.version("ipseity")} == {described["version"], described["appVersion"]}


def test_names_are_those_of_the_code() -> None:
    """Of namespace and control plane: certificates and exemptions are made from them."""
    assert (names.SYSTEM_NAMESPACE, names.CONTROL_PLANE) == (chart.NAMESPACE, "ipseity-control")
    ports = chart.find(chart.rendered(), "Service", names.CONTROL_PLANE)["spec"]["ports"]
    assert [names.WEBHOOK_PORT, names.IDENTITY_PORT, names.DISCOVERY_PORT] == [each["port"] for each in ports]
