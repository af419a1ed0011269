"""What the chart lets a user say is what the programs understand; all else is refused in words.

Leaves out what is rendered: ``tests/golden/deploy``.
"""

import dataclasses
import json
from typing import Any

import helm_python
import pytest

from agent import config as agent_config
from injector import config as mesh_config
from injector.rollout import config as rollout_config
from tests.golden import golden
from tests.scene import chart

SCHEMA = chart.CHART / "values.schema.json"
SAID_OTHERWISE = {
    "agent": {
        *("node_name", "kubeconfig", "context", "bpffs", "tracefs", "api", "state", "flow_log"),
        *("handshake_secret", "handshake_key_file", "trust_domain"),
        *("otlp_endpoint", "otlp_headers_file", "otlp_ca_file", "otlp_certificate_file", "otlp_key_file"),
    },
    "rollout": {"pod_name", "pod_namespace", "kubeconfig", "context", "listen", "health_port", "prometheus"},
    "mesh": {
        *("pod_name", "pod_namespace", "pod_uid", "kubeconfig", "context", "listen", "issuance_log", "trust_domain"),
        *("webhook_port", "identity_port", "discovery_port", "health_port", "webhook_certificate", "webhook_key"),
        *("proxy_image", "proxy_image_pull_policy", "control_plane", "identity_address", "discovery_address"),
    },
}
"""Settings that the chart makes itself, from other values or from what else it renders."""
CONFIGS: dict[str, Any] = {"agent": agent_config.Config, "mesh": mesh_config.Config, "rollout": rollout_config.Config}


def test_settings_are_those_of_the_programs(request: pytest.FixtureRequest) -> None:
    """A misspelt name would be a variable that nobody reads."""
    schema = json.loads(SCHEMA.read_text())
    for program, config in CONFIGS.items():
        names = {field.name for field in dataclasses.fields(config)}
        assert set() == SAID_OTHERWISE[program] - names
        schema["properties"][program]["properties"]["settings"]["propertyNames"]["enum"] = sorted(
            names - SAID_OTHERWISE[program]
        )
    golden.check(request, SCHEMA, json.dumps(schema, indent=2) + "\n")


def test_every_value_is_in_the_schema_and_says_what_it_means() -> None:
    """And the schema knows no other; a comment stands above each, or above the group it is in."""
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert set() == paths(chart.values_of(chart.CHART / "values.yaml")) ^ {
        path for path in declared(properties) if not path.startswith(".global")
    }


def paths(values: dict[str, Any], above: str = "") -> set[str]:
    """Name every value; what is free in form (resources, labels) is one."""
    free = {"settings", "resources", "seLinuxOptions", "nodeSelector", "labels"}
    found = set()
    for key, value in values.items():
        found |= paths(value, f"{above}.{key}") if isinstance(value, dict) and key not in free else {f"{above}.{key}"}
    return found


def declared(properties: dict[str, Any], above: str = "") -> set[str]:
    """Name every value of the schema."""
    found = set()
    for key, value in properties.items():
        below = value.get("properties") if key != "resources" else None
        found |= declared(below, f"{above}.{key}") if below else {f"{above}.{key}"}
    return found


def test_helm_finds_nothing_to_say_about_it() -> None:
    """``helm lint --strict``; an icon is advice, and for shops."""
    report = helm_python.lint(str(chart.CHART), {}, strict=True, namespace=chart.NAMESPACE)
    assert [] == [each["error"] for each in report["messages"] if "icon is recommended" not in each["error"]]
    assert [] == report["errors"]


@pytest.mark.parametrize(
    ("values", "quoted"),
    [
        ({"agnet": {"enabled": False}}, "agnet"),
        ({"agent": {"settings": {"max_egdes": 5}}}, "max_egdes"),
        ({"agent": {"settings": {"kubeconfig": "/tmp/x"}}}, "kubeconfig"),
        ({"mesh": {"replicas": 0}}, "replicas"),
        ({"rollout": {"prometheus": "prometheus:9090"}}, "prometheus"),
        ({"mesh": {"image": {"digest": "0.1.0"}}}, "digest"),
        ({"image": {"pullPolicy": "always"}}, "pullPolicy"),
        ({"agent": {"metricsPort": 80}}, "metricsPort"),
        ({"agent": {"resources": {"limits": {"memory": "512 MB"}}}}, "memory"),
        ({"networkPolicy": {"apiServerPorts": [70_000]}}, "apiServerPorts"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], quoted: str) -> None:
    """With the name of what was said."""
    with pytest.raises(helm_python.HelmValuesError, match=quoted):
        chart.rendered(values)


def test_another_namespace_is_refused() -> None:
    """Certificates and exemptions name ours."""
    with pytest.raises(helm_python.HelmRenderError, match=r"cannot install into namespace .*kube-system.*--namespace"):
        chart.rendered(namespace="kube-system")
