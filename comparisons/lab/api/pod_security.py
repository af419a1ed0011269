"""Pod Security: whether a namespace's level admits a pod, in the real server's words.

Rules and words: k8s.io/pod-security-admission/policy, as of 1.36, for pods on Linux. Here because a sidecar's init
container asks for a capability that ``baseline`` does not give: what a real server refuses must not pass here. Pure.
Leaves out ``warn`` and ``audit``, versions other than the latest, exemptions, updates of pods, sysctls, procMount,
SELinux, AppArmor and host probes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Value = dict[str, Any]

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_VERSION: Final = "pod-security.kubernetes.io/enforce-version"
_USUAL: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
        *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_VOLUMES: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SECCOMP: Final = frozenset({"RuntimeDefault", "Localhost"})
_Rule = Callable[[Value], str]


def refusal(pod: Value, labels: Mapping[str, str]) -> str:
    """Say why a namespace with these labels does not admit a pod; empty: it does."""
    level = labels.get(ENFORCE, "privileged")
    rules = {"baseline": _BASELINE, "restricted": (*_BASELINE_TOO, *_RESTRICTED)}.get(level, ())
    said = [why for rule in rules if (why := rule(pod["spec"]))]
    return f'violates PodSecurity "{level}:{labels.get(_VERSION, "latest")}": {", ".join(said)}' if said else ""


def _containers(spec: Value) -> Iterator[tuple[str, Value]]:
    """Yield names and security contexts, in the order in which the real server visits them."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for each in spec.get(key) or ():
            yield each["name"], each.get("securityContext") or {}


def _named(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"container{'s' if len(names) > 1 else ''} {quoted}"


def _host_namespaces(spec: Value) -> str:
    said = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return f"host namespaces ({', '.join(said)})" if said else ""


def _host_paths(spec: Value) -> str:
    found = [f'"{each["name"]}"' for each in spec.get("volumes") or () if "hostPath" in each]
    return f"hostPath volumes (volume{'s' if len(found) > 1 else ''} {', '.join(found)})" if found else ""


def _host_ports(spec: Value) -> str:
    found = {
        each["name"]: sorted({port["hostPort"] for port in each.get("ports") or () if port.get("hostPort")})
        for key in ("initContainers", "containers")
        for each in spec.get(key) or ()
    }
    ports = sorted({port for each in found.values() for port in each})
    names = [name for name, each in found.items() if each]
    many = "s" if len(ports) > 1 else ""
    word = "use" if len(names) > 1 else "uses"
    return f"hostPort ({_named(names)} {word} hostPort{many} {', '.join(map(str, ports))})" if names else ""


def _privileged(spec: Value) -> str:
    names = [name for name, said in _containers(spec) if said.get("privileged")]
    return f"privileged ({_named(names)} must not set securityContext.privileged=true)" if names else ""


def _added(spec: Value, allowed: frozenset[str]) -> str:
    """Say which containers add capabilities beyond those."""
    found = {name: set((said.get("capabilities") or {}).get("add") or ()) - allowed for name, said in _containers(spec)}
    names, beyond = (
        [name for name, each in found.items() if each],
        sorted({one for each in found.values() for one in each}),
    )
    quoted = ", ".join(f'"{each}"' for each in beyond)
    return f"{_named(names)} must not include {quoted} in securityContext.capabilities.add" if names else ""


def _capabilities(spec: Value) -> str:
    said = _added(spec, _USUAL)
    return f"non-default capabilities ({said})" if said else ""


def _seccomp_unconfined(spec: Value) -> str:
    names = [name for name, said in _containers(spec) if (said.get("seccompProfile") or {}).get("type") == "Unconfined"]
    outer = ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type") == "Unconfined"
    said = [*(["pod"] if outer else []), *([_named(names)] if names else [])]
    must = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return f"seccompProfile ({' and '.join(said)} {must})" if said else ""


def _escalation(spec: Value) -> str:
    names = [name for name, said in _containers(spec) if said.get("allowPrivilegeEscalation") is not False]
    must = "must set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({_named(names)} {must})" if names else ""


def _restricted_capabilities(spec: Value) -> str:
    kept = [
        name for name, said in _containers(spec) if "ALL" not in ((said.get("capabilities") or {}).get("drop") or ())
    ]
    said = [f'{_named(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    said += [added] if (added := _added(spec, frozenset({"NET_BIND_SERVICE"}))) else []
    return f"unrestricted capabilities ({'; '.join(said)})" if said else ""


def _restricted_volumes(spec: Value) -> str:
    found = {
        each["name"]: kind for each in spec.get("volumes") or () for kind in each if kind not in {"name", *_VOLUMES}
    }
    names, kinds = [f'"{name}"' for name in found], [f'"{kind}"' for kind in sorted(set(found.values()))]
    if not found:
        return ""
    which = f"volume{'s' if len(names) > 1 else ''} {', '.join(names)} use{'s' if len(names) == 1 else ''}"
    return f"restricted volume types ({which} restricted volume type{'s' if len(kinds) > 1 else ''} {', '.join(kinds)})"


def _non_root(spec: Value) -> str:
    outer = (spec.get("securityContext") or {}).get("runAsNonRoot")
    wrong = [name for name, said in _containers(spec) if said.get("runAsNonRoot") is False]
    unsaid = [name for name, said in _containers(spec) if said.get("runAsNonRoot") is None]
    bad = [*(["pod"] if outer is False else []), *([_named(wrong)] if wrong else [])]
    if bad:
        return f"runAsNonRoot != true ({' and '.join(bad)} must not set securityContext.runAsNonRoot=false)"
    must = "must set securityContext.runAsNonRoot=true"
    return f"runAsNonRoot != true (pod or {_named(unsaid)} {must})" if unsaid and not outer else ""


def _root(spec: Value) -> str:
    names = [name for name, said in _containers(spec) if said.get("runAsUser") == 0]
    outer = (spec.get("securityContext") or {}).get("runAsUser") == 0
    said = [*(["pod"] if outer else []), *([_named(names)] if names else [])]
    return f"runAsUser=0 ({' and '.join(said)} must not set runAsUser=0)" if said else ""


def _seccomp_unsaid(spec: Value) -> str:
    outer = ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type")
    names = [
        name
        for name, said in _containers(spec)
        if (said.get("seccompProfile") or {}).get("type", outer) not in _SECCOMP
    ]
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_named(names)} {must})" if names else ""


_BASELINE_TOO: Final[tuple[_Rule, ...]] = (_host_namespaces, _host_paths, _host_ports, _privileged)
"""Those that ``restricted`` has as they are; for the others it has stricter ones."""
_BASELINE: Final = (*_BASELINE_TOO, _capabilities, _seccomp_unconfined)
_RESTRICTED: Final[tuple[_Rule, ...]] = (
    _escalation,
    _restricted_capabilities,
    _restricted_volumes,
    _non_root,
    _root,
    _seccomp_unsaid,
)
