"""Pod Security as the real server words it (k8s.io/pod-security-admission). Leaves out where it is asked: admission."""

from typing import Any

import pytest

from comparisons.lab.api import pod_security

Value = dict[str, Any]
GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def judged(level: str, *containers: Value, **spec: Any) -> str:
    pod = {"spec": {"containers": [{"name": f"c{number}", **each} for number, each in enumerate(containers)], **spec}}
    return pod_security.refusal(pod, {pod_security.ENFORCE: level} if level else {})


def secured(**more: Any) -> Value:
    return {"securityContext": {**GOOD, **more}}


def test_without_a_level_everything_is_admitted() -> None:
    assert "" == judged("", secured(privileged=True), hostPID=True)
    assert "" == judged("privileged", secured(privileged=True), hostPID=True)


def test_what_is_restricted_is_admitted_everywhere() -> None:
    for level in ("baseline", "restricted"):
        assert "" == judged(level, secured(), volumes=[{"name": "v", "emptyDir": {}}])


@pytest.mark.parametrize(
    ("level", "containers", "spec", "said"),
    [
        (
            "baseline",
            [secured()],
            {"hostPID": True, "hostNetwork": True},
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            "baseline",
            [secured(capabilities={"add": ["NET_ADMIN", "CHOWN"]}), secured(capabilities={"add": ["SYS_ADMIN"]})],
            {},
            (
                'non-default capabilities (containers "c0", "c1" must not include "NET_ADMIN", "SYS_ADMIN" in '
                "securityContext.capabilities.add)"
            ),
        ),
        ("baseline", [secured()], {"volumes": [{"name": "v", "hostPath": {}}]}, 'hostPath volumes (volume "v")'),
        (
            "baseline",
            [secured(privileged=True)],
            {},
            'privileged (container "c0" must not set securityContext.privileged=true)',
        ),
        ("baseline", [{"ports": [{"hostPort": 80}]}], {}, 'hostPort (container "c0" uses hostPort 80)'),
        (
            "restricted",
            [{}],
            {},
            (
                'allowPrivilegeEscalation != false (container "c0" must set '
                "securityContext.allowPrivilegeEscalation=false), "
                'unrestricted capabilities (container "c0" must set securityContext.capabilities.drop=["ALL"]), '
                'runAsNonRoot != true (pod or container "c0" must set securityContext.runAsNonRoot=true), '
                'seccompProfile (pod or container "c0" must set securityContext.seccompProfile.type to '
                '"RuntimeDefault" or '
                '"Localhost")'
            ),
        ),
        (
            "restricted",
            [secured(runAsUser=0)],
            {"volumes": [{"name": "v", "nfs": {}}]},
            (
                'restricted volume types (volume "v" uses restricted volume type "nfs"), '
                'runAsUser=0 (container "c0" must not set runAsUser=0)'
            ),
        ),
    ],
)
def test_it_says_what_is_wrong(level: str, containers: list[Value], spec: Value, said: str) -> None:
    assert f'violates PodSecurity "{level}:latest": {said}' == judged(level, *containers, **spec)
