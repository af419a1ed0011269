"""Cgroup paths as kubelets, runtimes and nestings really spell them.

Leaves out reading a tree (``test_cgroups``).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import places

UID = "464ba0a2-d99d-45d2-8304-a594e6982906"
SLICE = UID.replace("-", "_")
CONTAINER = "d999e4e66b9da8cfc81c4bc0e504050aeeabfe2ef7d798fa5418dd237f79a788"
STATIC = "6ed75d5fd2dd9fd6a9b6b2a4ca1e0e3f"

POD_PATHS = {
    "cgroupfs": (f"/kubepods/burstable/pod{UID}/{CONTAINER}", UID, CONTAINER, "burstable"),
    "cgroupfs guaranteed": (f"/kubepods/pod{UID}/{CONTAINER}", UID, CONTAINER, "guaranteed"),
    "cgroupfs, the pod itself": (f"/kubepods/besteffort/pod{UID}", UID, "", "besteffort"),
    "cgroupfs, static pod": (f"/kubepods/burstable/pod{STATIC}/{CONTAINER}", STATIC, CONTAINER, "burstable"),
    "cgroupfs, CRI-O": (f"/kubepods/burstable/pod{UID}/crio-{CONTAINER}", UID, CONTAINER, "burstable"),
    "cgroupfs, CRI-O's monitor": (f"/kubepods/burstable/pod{UID}/crio-conmon-{CONTAINER}", UID, "", "burstable"),
    "systemd, containerd": (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-{CONTAINER}.scope",
        UID, CONTAINER, "burstable",
    ),
    "systemd guaranteed": (
        f"/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{CONTAINER}.scope", UID, CONTAINER, "guaranteed",
    ),
    "systemd, CRI-O": (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-{CONTAINER}.scope",
        UID, CONTAINER, "besteffort",
    ),
    "systemd, CRI-O, container's own subgroup": (
        f"/kubepods.slice/kubepods-pod{SLICE}.slice/crio-{CONTAINER}.scope/container", UID, CONTAINER, "guaranteed",
    ),
    "systemd, Docker": (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/docker-{CONTAINER}.scope",
        UID, CONTAINER, "burstable",
    ),
    "systemd, static pod": (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{CONTAINER}.scope",
        STATIC, CONTAINER, "burstable",
    ),
    "containerd without systemd below a kubelet with it": (
        f"/system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:cri-containerd:{CONTAINER}",
        UID, CONTAINER, "burstable",
    ),
    "kind, cgroupfs": (
        f"/docker/{'ab' * 32}/kubelet/kubepods/burstable/pod{UID}/{CONTAINER}", UID, CONTAINER, "burstable",
    ),
    "kind, systemd": (
        (f"/system.slice/docker-{'ab' * 32}.scope/kubelet.slice/kubelet-kubepods.slice"
        f"/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{SLICE}.slice/cri-containerd-{CONTAINER}.scope"),
        UID, CONTAINER, "besteffort",
    ),
    "kind, kubelet.slice at the root": (
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{SLICE}.slice/cri-containerd-{CONTAINER}.scope",
        UID, CONTAINER, "guaranteed",
    ),
    "a subgroup that the container made": (
        f"/kubepods/burstable/pod{UID}/{CONTAINER}/init.scope/worker-3", UID, CONTAINER, "burstable",
    ),
    "a cluster in a container": (
        f"/kubepods/burstable/pod{UID}/{CONTAINER}/kubelet/kubepods/pod12345678-1234-1234-1234-123456789012/inner",
        UID, CONTAINER, "burstable",
    ),
    "the lab's": (f"/ipseity-demo/node-a/kubepods/burstable/pod{UID}/web-1", UID, "web-1", "burstable"),
}  # fmt: skip

HOST_PATHS = {
    "/": "/",
    "": "/",
    "/init.scope": "init.scope",
    "/system.slice/sshd.service": "sshd.service",
    "/system.slice/containerd.service": "containerd.service",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope": "app-foo.scope",
    "/user.slice/user-1000.slice": "/user.slice/user-1000.slice",
    f"/system.slice/docker-{CONTAINER}.scope": f"docker-{CONTAINER}.scope",
    "/kubepods/burstable": "/kubepods/burstable",
    "/kubepods/burstable/podnotauid/x": "/kubepods/burstable/podnotauid/x",
    f"/podman-{CONTAINER}": f"/podman-{CONTAINER}",
}


@pytest.mark.parametrize("spelling", POD_PATHS)
def test_every_spelling_of_a_pod_s_cgroup_gives_pod_and_container(spelling: str) -> None:
    """The uid comes out with dashes, the container id without the runtime's name."""
    path, uid, container, qos = POD_PATHS[spelling]
    assert places.InPod(uid, container, qos) == places.parse(path)


@pytest.mark.parametrize("path", HOST_PATHS)
def test_what_is_no_pod_s_is_the_host_s(path: str) -> None:
    """Named by the innermost unit, or by its path."""
    assert places.OnHost(HOST_PATHS[path]) == places.parse(path)


@given(st.text(alphabet="/abcdef0123456789-_.:pods", max_size=120))
def test_no_path_makes_it_fail(path: str) -> None:
    """Whatever somebody names a directory."""
    assert isinstance(places.parse(path), places.InPod | places.OnHost)
