"""Variables, command and arguments of a container. Leaves out reading the objects that they come from."""

import base64
import dataclasses
from typing import Any

import pytest

from comparisons.lab import environment, errors

POD: dict[str, Any] = {
    "metadata": {"name": "web-0", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "tier": 'a"b'}},
    "spec": {"serviceAccountName": "web", "containers": []},
}
SOURCES = environment.Sources(
    pod=POD,
    node_name="node-a",
    host_ips=("172.30.0.2", "fd00::2"),
    pod_ips=("10.7.0.2", "fd01::2"),
    capacity={"cpu": "2", "memory": "1Gi"},
    configmaps={"c": {"metadata": {"name": "c"}, "data": {"KEY": "value", "port": "80"}}},
    secrets={"s": {"metadata": {"name": "s"}, "type": "Opaque", "data": {"pass": base64.b64encode(b"x\xff").decode()}}},
)


def variables(*env: dict[str, Any], **container: Any) -> dict[str, str]:
    """Make the variables of a container with this ``env``."""
    return environment.variables(
        {"name": "c", "env": list(env), **container}, SOURCES, {"WEB_SERVICE_HOST": "10.96.0.1"}
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web-0"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
        ("metadata.annotations['none']", ""),
        ("spec.serviceAccountName", "web"),
        ("spec.nodeName", "node-a"),
        ("status.podIP", "10.7.0.2"),
        ("status.podIPs", "10.7.0.2,fd01::2"),
        ("status.hostIP", "172.30.0.2"),
    ],
)
def test_fields(path: str, expected: str) -> None:
    """Every field of the downward API."""
    assert expected == variables({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})["X"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(A)", "1-1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(WEB_SERVICE_HOST)", "10.96.0.1"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    """As the kubelet's third_party/forked/golang/expansion."""
    assert expected == variables({"name": "A", "value": "1"}, {"name": "B", "value": text})["B"]


def test_only_earlier_variables_are_known() -> None:
    """A variable that comes later is no variable yet."""
    assert variables({"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"})["B"] == "$(A)"


def test_env_from_comes_before_env() -> None:
    """Whole objects first, with their prefix; what env says wins."""
    found = variables(
        {"name": "KEY", "value": "own"},
        envFrom=[{"configMapRef": {"name": "c"}}, {"prefix": "P_", "configMapRef": {"name": "c"}}],
    )
    assert {"KEY": "own", "port": "80", "P_KEY": "value"}.items() <= found.items()


def test_secret_and_config_map_keys() -> None:
    """Secrets are base64, ConfigMaps are text; an optional one that is missing is left out."""
    found = variables(
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pass"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "KEY"}}},
        {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "KEY", "optional": True}}},
    )
    assert found["S"] == "x\ufffd"
    assert found["C"] == "value"
    assert "O" not in found


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"name": "none", "key": "k"}, "ConfigMap 'none' does not exist"),
        ({"name": "c", "key": "k"}, "'c' has no key 'k'"),
    ],
)
def test_missing_sources_refuse_the_container(reference: dict[str, str], words: str) -> None:
    """The pod waits, with the kubelet's reason."""
    with pytest.raises(errors.PodRefused, match=words) as refused:
        variables({"name": "X", "valueFrom": {"configMapKeyRef": reference}})
    assert refused.value.reason == "CreateContainerConfigError"


def test_resources() -> None:
    """Rounded up to whole divisors; the node's capacity where there is no limit."""
    limits = {"limits": {"cpu": "250m", "memory": "100Mi"}}
    container = {"name": "c", "resources": limits}
    assert environment.resource({"resource": "limits.cpu"}, container, SOURCES) == "1"
    assert environment.resource({"resource": "limits.cpu", "divisor": "1m"}, container, SOURCES) == "250"
    assert environment.resource({"resource": "limits.memory", "divisor": "1Mi"}, container, SOURCES) == "100"
    assert environment.resource({"resource": "limits.memory", "divisor": "1Mi"}, {"name": "c"}, SOURCES) == "1024"
    assert environment.resource({"resource": "requests.cpu"}, {"name": "c"}, SOURCES) == "0"


def test_command_and_arguments_are_expanded() -> None:
    """Both, in order; without a command there is nothing to run, since there is no image."""
    container = {"name": "c", "command": ["sh", "-c"], "args": ["echo $(A)"]}
    assert environment.arguments(container, {"A": "1"}) == ["sh", "-c", "echo 1"]
    with pytest.raises(errors.PodRefused, match="has no command"):
        environment.arguments({"name": "c", "args": ["x"]}, {})


def test_services_of_the_namespace() -> None:
    """The kubelet's variables for a Service; those of other namespaces are not there."""
    port = {"name": "http-x", "port": 80, "protocol": "TCP"}
    web = {"metadata": {"name": "my-web", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.9", "ports": [port]}}
    other = {"metadata": {"name": "db", "namespace": "data"}, "spec": {"clusterIP": "10.96.0.8", "ports": [port]}}
    headless = {"metadata": {"name": "h", "namespace": "shop"}, "spec": {"clusterIP": "None", "ports": [port]}}
    expected = {
        "MY_WEB_SERVICE_HOST": "10.96.0.9",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP_X": "80",
        "MY_WEB_PORT": "tcp://10.96.0.9:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.96.0.9:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.96.0.9",
    }
    assert expected == environment.services([web, other, headless], "shop")


def test_references_name_everything_that_is_read() -> None:
    """Variables, whole objects and volumes."""
    spec = {
        "containers": [
            {"name": "a", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]},
            {"name": "b", "envFrom": [{"configMapRef": {"name": "c1"}}]},
        ],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s2"}}]}],
        "volumes": [
            {"name": "v1", "secret": {"secretName": "s3"}},
            {"name": "v2", "projected": {"sources": [{"configMap": {"name": "c2"}}, {"serviceAccountToken": {}}]}},
        ],
    }
    expected = {("secrets", "s1"), ("secrets", "s2"), ("secrets", "s3"), ("configmaps", "c1"), ("configmaps", "c2")}
    assert expected == environment.references({"spec": spec})


def test_hostname_is_the_pods() -> None:
    """The name, unless the pod says another; at most 63 bytes."""
    assert environment.hostname(POD) == "web-0"
    long = {**POD, "metadata": {**POD["metadata"], "name": "a" * 62 + "-bc"}}
    assert environment.hostname(long) == "a" * 62
    assert dataclasses.replace(SOURCES, pod=long).pod is long
