"""config.json of a container. Leaves out whether a runtime accepts it: the functional tests have that."""

import pathlib
from typing import Any

import pytest

from comparisons.lab import bundle, capabilities, errors

PLACE = bundle.Place(
    root=pathlib.Path("/r"), netns=pathlib.Path("/n"), cgroup="/ipseity-lab/node-a/kubepods/podu/c", hostname="web-0"
)
TASK = bundle.Task(
    arguments=["sleep", "1"], environ={"A": "1"}, mounts=[bundle.Mount(source=pathlib.Path("/s"), destination="/d")]
)


def config(container: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **place: Any) -> dict[str, Any]:
    """Make the configuration of one container of a pod."""
    spec = {"spec": {"containers": [], **(pod or {})}}
    where = bundle.Place(
        **{"root": PLACE.root, "netns": PLACE.netns, "cgroup": PLACE.cgroup, "hostname": "web-0", **place}
    )
    return bundle.config(spec, {"name": "c", **(container or {})}, where, TASK)


def test_plain_container() -> None:
    """What a container that asks for nothing gets."""
    found = config()
    assert found["root"] == {"path": "/r", "readonly": False}
    assert found["hostname"] == "web-0"
    assert found["linux"]["cgroupsPath"] == "/ipseity-lab/node-a/kubepods/podu/c"
    assert found["linux"]["namespaces"] == [
        {"type": "mount"},
        {"type": "network", "path": "/n"},
        {"type": "pid"},
        {"type": "ipc"},
        {"type": "uts"},
    ]
    process = found["process"]
    assert (process["args"], process["env"], process["cwd"]) == (["sleep", "1"], ["A=1"], "/")
    assert process["user"] == {"uid": 0, "gid": 0, "additionalGids": []}
    assert process["noNewPrivileges"] is False
    assert len(process["capabilities"]["bounding"]) == 14
    bind = {"destination": "/d", "type": "bind", "source": "/s", "options": ["rbind", "rprivate", "rw"]}
    assert found["mounts"][-1] == bind
    assert "cgroup" not in {mount["type"] for mount in found["mounts"]}


def test_shared_namespaces() -> None:
    """HostPID has none, a shared one is joined by path, hostNetwork keeps the host's name."""
    kinds = [it["type"] for it in config(pid_namespace="host", host_ipc=True, host_network=True)["linux"]["namespaces"]]
    assert kinds == ["mount", "network"]
    assert "hostname" not in config(host_network=True)
    assert {"type": "pid", "path": "/proc/7/ns/pid"} in config(pid_namespace="/proc/7/ns/pid")["linux"]["namespaces"]


def test_users() -> None:
    """The container's word before the pod's; groups add up."""
    pod = {"securityContext": {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]}}
    assert config(pod=pod)["process"]["user"] == {"uid": 1000, "gid": 3000, "additionalGids": [4000, 2000]}
    own = {"securityContext": {"runAsUser": 7}}
    assert config(own, pod)["process"]["user"]["uid"] == 7
    with pytest.raises(errors.PodRefused, match="runAsNonRoot and would run as root"):
        config({"securityContext": {"runAsNonRoot": True}})


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, {"NET_RAW"}),
        ({"capabilities": {"drop": ["NET_RAW"]}}, capabilities.USUAL - {"NET_RAW"}),
        ({"capabilities": {"add": ["CAP_NET_ADMIN"]}}, capabilities.USUAL | {"NET_ADMIN"}),
        ({"capabilities": {"add": ["ALL"]}}, capabilities.USUAL | {"NET_ADMIN", "BPF"}),
        ({"privileged": True}, capabilities.USUAL | {"NET_ADMIN", "BPF"}),
    ],
)
def test_capabilities(security: dict[str, Any], expected: set[str]) -> None:
    """Added, dropped, all of those that the machine has."""
    available = capabilities.USUAL | {"NET_ADMIN", "BPF"}
    assert frozenset(expected) == capabilities.granted(security, available)


def test_capability_that_the_machine_lacks() -> None:
    """The pod hears which one, and nothing is left out in silence."""
    with pytest.raises(errors.PodRefused, match="cannot give the capabilities SYS_TIME"):
        capabilities.granted({"capabilities": {"add": ["SYS_TIME"]}}, capabilities.USUAL)


def test_read_only_root_and_no_new_privileges() -> None:
    """As asked."""
    found = config({"securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}})
    assert found["root"]["readonly"] is True
    assert found["process"]["noNewPrivileges"] is True


def test_resources() -> None:
    """Quota and shares as the kubelet computes them: a limit is a request too."""
    limits = {"limits": {"cpu": "250m", "memory": "64Mi"}}
    expected = {"memory": {"limit": 67108864}, "cpu": {"period": 100000, "quota": 25000, "shares": 256}}
    assert expected == bundle.resources(limits)
    assert bundle.resources({}) == {"cpu": {"shares": 2}}, "who asks for nothing gets the least"


def test_hosts_file() -> None:
    """The pod, its aliases, and every Service under its names; the short one only at home."""
    service = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"]},
    }
    headless = {"metadata": {"name": "h", "namespace": "shop"}, "spec": {"clusterIP": "None"}}
    names = bundle.service_names([service, headless], "shop")
    expected = (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "10.7.0.2\tme\n"
        "1.2.3.4\tdb db.old\n"
        "10.96.0.9\tweb.shop.svc.cluster.local web.shop.svc web.shop web\n"
        "fd00::9\tweb.shop.svc.cluster.local web.shop.svc web.shop web\n"
    )
    assert expected == bundle.hosts(["10.7.0.2"], ["me"], [{"ip": "1.2.3.4", "hostnames": ["db", "db.old"]}], names)
    assert "web" not in bundle.service_names([service], "other")[0][1]


def test_names_of_pods_without_a_service_address() -> None:
    """A headless Service's name means its ready pods; a pod with a hostname has one of its own below."""
    found = {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "endpoints": [
            {"addresses": ["10.7.0.3"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.7.0.4"], "conditions": {"ready": False}},
        ],
    }
    names = ["db.shop.svc.cluster.local", "db.shop.svc", "db.shop"]
    assert [("10.7.0.3", [*(f"db-0.{name}" for name in names), *names])] == bundle.headless_names([found], "other")
    assert "db-0.db" in bundle.headless_names([found], "shop")[0][1]


def test_an_image_that_is_a_path_is_a_root(tmp_path: pathlib.Path) -> None:
    """And every other name stands for the host's own."""
    assert "/" == bundle.image_root({"name": "c", "image": "registry.example.com/web:1"})
    assert "/" == bundle.image_root({"name": "c"})
    assert str(tmp_path) == bundle.image_root({"name": "c", "image": str(tmp_path)})


@pytest.mark.parametrize("name", ["missing", "with:colon"])
def test_an_image_that_is_no_directory_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    """As a kubelet refuses one that it may not pull."""
    (tmp_path / "with:colon").mkdir()
    with pytest.raises(errors.PodRefused, match=f"image .*{name}.* of container 'c'") as refused:
        bundle.image_root({"name": "c", "image": str(tmp_path / name)})
    assert refused.value.reason == "ErrImageNeverPull"
