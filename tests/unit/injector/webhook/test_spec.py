"""What is put into a pod, where the golden files do not show it: amounts that must agree with one another."""

import pytest

from injector import annotations
from injector.sidecar import spec
from tests.fakes import admission


def resources(**asked: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = spec.proxy(annotations.ProxyConfig(**asked), admission.INSTALLATION)["resources"]  # type: ignore[arg-type]  # texts only
    return found


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        ({}, {"cpu": "10m", "memory": "48Mi"}, {"memory": "256Mi"}),
        ({"memory_limit": "32Mi"}, {"cpu": "10m", "memory": "32Mi"}, {"memory": "32Mi"}),
        ({"memory_request": "1Gi"}, {"cpu": "10m", "memory": "1Gi"}, {"memory": "1Gi"}),
        ({"cpu_limit": "5m"}, {"cpu": "5m", "memory": "48Mi"}, {"cpu": "5m", "memory": "256Mi"}),
        ({"cpu_request": "1", "cpu_limit": "1"}, {"cpu": "1", "memory": "48Mi"}, {"cpu": "1", "memory": "256Mi"}),
    ],
)
def test_a_request_is_never_above_its_limit(
    asked: dict[str, str], requests: dict[str, str], limits: dict[str, str]
) -> None:
    """What was asked for moves what was only a default."""
    assert {"requests": requests, "limits": limits} == resources(**asked)


def test_nobody_has_more_than_it_needs() -> None:
    """One container has one capability; neither may gain any, or write to its image."""
    config = annotations.ProxyConfig()
    redirect, proxy = (
        spec.redirect(config, admission.INSTALLATION, frozenset()),
        spec.proxy(config, admission.INSTALLATION),
    )
    assert {"drop": ["ALL"], "add": ["NET_ADMIN"]} == redirect["securityContext"]["capabilities"]
    assert {"drop": ["ALL"]} == proxy["securityContext"]["capabilities"]
    for container in (redirect, proxy):
        context = container["securityContext"]
        assert (False, False, True) == (
            context["allowPrivilegeEscalation"],
            context["privileged"],
            context["readOnlyRootFilesystem"],
        )
    assert "volumeMounts" not in redirect
