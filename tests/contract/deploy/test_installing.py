"""``ipseity install``, ``upgrade`` and ``uninstall`` against an API server: what is applied, refused, and left behind.

Leaves out nodes, and what the agents leave in their kernels: ``tests/prove/image_check.py``.
"""

import asyncio
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from injector.webhook import configuration
from ipseity import cli, kube
from ipseity.installing import cluster, manifests, removal
from tests.contract.kubernetes_api import own


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    with own.served(tmp_path_factory.mktemp("installing") / "api") as kubeconfig:
        yield kubeconfig


class Said(NamedTuple):
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Said]


@pytest.fixture
def ipseity(system: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands as the front door does, in this process."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = cli.run([words[0], "--kubeconfig", str(system), *words[1:]])
        return Said(code, *capsys.readouterr())

    return run


def asked(system: pathlib.Path, path: str) -> Any:
    async def ask() -> Any:
        async with await cluster.Cluster.connect(str(system), None, dry_run=False) as where:
            return await where.get(path)

    return asyncio.run(ask())


def applied(system: pathlib.Path, each: dict[str, Any]) -> None:
    async def apply() -> None:
        async with await cluster.Cluster.connect(str(system), None, dry_run=False) as where:
            await where.apply(each, force=True)

    asyncio.run(apply())


def test_what_is_printed_is_what_is_applied(ipseity: Run) -> None:
    """As YAML; with other images everywhere where the version's own would be."""
    done = ipseity("install", "-o", "yaml", "--mesh-image", "example.com/m:1", "--agent-image", "example.com/a:1")
    found = list(yaml.safe_load_all(done.stdout))
    parts = [manifests.namespace(), *manifests.definitions(), *manifests.of("mesh"), *manifests.of("agent")]
    assert [manifests.path(each) for each in parts] == [manifests.path(each) for each in found]
    assert "image: ipseity/" not in done.stdout
    assert "value: example.com/m:1" in done.stdout


def test_what_is_chosen_is_everywhere_it_belongs(ipseity: Run) -> None:
    """Pull policy and Secret of every pod, of sidecars too; settings of the container that has them."""
    flags = ["--pull-policy", "Never", "--pull-secret", "one", "--pull-secret", "two"]
    flags += ["--agent-setting", "max_edges=1009", "--mesh-setting", "leaf_life_s=601"]
    done = ipseity("install", "-o", "yaml", *flags)
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in yaml.safe_load_all(done.stdout)
        if each["kind"] in {"DaemonSet", "Deployment"}
    }
    for pod in pods.values():
        assert [{"name": "one"}, {"name": "two"}] == pod["imagePullSecrets"]
        assert {"Never"} == {container["imagePullPolicy"] for container in pod["containers"]}
    env = {
        name: {each["name"]: each.get("value") for each in pod["containers"][0]["env"]} for name, pod in pods.items()
    }
    assert "1009" == env["ipseity-agent"]["IPSEITY_MAX_EDGES"]
    assert "Never" == env["ipseity-control"]["IPSEITY_PROXY_IMAGE_PULL_POLICY"]
    assert "601" == env["ipseity-control"]["IPSEITY_LEAF_LIFE_S"]
    refused = ipseity("install", "-o", "yaml", "--agent-setting", "max_edges")
    assert 2 == refused.returncode
    assert "'max_edges' is not of the form NAME=VALUE" in refused.stderr


def test_what_is_not_ready_says_why(ipseity: Run, system: pathlib.Path) -> None:
    """The scheduler's words, not only that it took too long."""
    done = ipseity("install", "--only", "mesh", "--timeout", "2")
    assert 2 == done.returncode
    assert "not within 2 s: the mesh is ready\n  pod ipseity-control-" in done.stderr
    assert "hint: see: kubectl -n ipseity-system get pods" in done.stderr
    assert 0 == ipseity("uninstall", "--purge").returncode


async def test_a_server_that_is_too_busy_is_asked_again() -> None:
    """As priority and fairness has it; not for ever, and nothing else is."""
    asked: list[int] = []

    async def ask(status: int, times: int) -> str:
        asked.append(status)
        if len(asked) <= times:
            raise kube.KubernetesError("busy", status=status, retry_after_s=0.001)
        return "done"

    assert "done" == await cluster._again(lambda: ask(429, 3))
    assert 4 == len(asked)
    for status, tries in ((503, 5), (403, 1)):
        asked.clear()
        with pytest.raises(kube.KubernetesError):
            await cluster._again(functools.partial(ask, status, 9))
        assert tries == len(asked)


def test_a_life_of_an_installation(ipseity: Run, system: pathlib.Path) -> None:
    """Tried, installed, not installed twice, upgraded, taken out in an order in which no pod waits; and again."""
    flags = ("--only", "mesh", "--no-wait")
    objects = manifests.chosen(("mesh",), manifests.Choices())

    tried = ipseity("install", *flags, "--dry-run")
    assert (0, "") == (tried.returncode, tried.stderr)
    assert asked(system, manifests.path(objects[0])) is None

    done = ipseity("install", *flags)
    assert (0, "") == (done.returncode, done.stderr)
    assert [f"{manifests.shown(each)} created" for each in objects] == done.stdout.splitlines()

    again = ipseity("install", *flags)
    assert 2 == again.returncode
    assert "the mesh is in this cluster already\nhint: use: ipseity upgrade" in again.stderr

    upgraded = ipseity("upgrade", *flags)
    assert {f"{manifests.shown(each)} unchanged" for each in objects} == set(upgraded.stdout.splitlines())
    other = ipseity("upgrade", *flags, "--mesh-image", "example.com/m:2")
    assert "deployment/ipseity-control changed" in other.stdout.splitlines()

    bundle = {"name": removal.BUNDLE, "namespace": "default"}
    applied(system, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": bundle})
    label = {"name": "default", "labels": {removal.INJECTS: "enabled", "kept": "yes"}}
    applied(system, {"apiVersion": "v1", "kind": "Namespace", "metadata": label})
    applied(system, configuration.render(configuration.Endpoint()))

    dry = ipseity("uninstall", "--purge", "--dry-run")
    assert (0, "") == (dry.returncode, dry.stderr)
    assert asked(system, removal.WEBHOOK) is not None

    out = ipseity("uninstall", "--purge")
    assert (0, "") == (out.returncode, out.stderr)
    said = out.stdout.splitlines()
    assert [
        "clusterrolebinding/ipseity-control-webhook removed",
        "mutatingwebhookconfiguration/ipseity removed",
        "clusterrolebinding/ipseity-control removed",
    ] == said[:3]
    assert said.index("mutatingwebhookconfiguration/ipseity removed") < said.index("deployment/ipseity-control removed")
    paths = [removal.WEBHOOK, "/api/v1/namespaces/default/configmaps/ipseity-trust-bundle"]
    assert [] == [path for path in [*map(manifests.path, objects), *paths] if asked(system, path) is not None]
    labels = asked(system, "/api/v1/namespaces/default")["metadata"]["labels"]
    assert (True, False) == ("kept" in labels, removal.INJECTS in labels)

    nothing = ipseity("uninstall", "--purge")
    assert (0, "") == (nothing.returncode, nothing.stdout + nothing.stderr)


async def test_pods_that_wait_for_their_certificate_are_given_time(system: pathlib.Path) -> None:
    """The control plane stays until they are up; whoever does not come up is named, and holds up nothing."""
    metadata = {"name": "late", "namespace": "default", "labels": {"ipseity.io/meshed": "true"}}
    spec = {"containers": [{"name": "app", "image": "example.com/a:1"}]}
    said: list[str] = []
    async with await cluster.Cluster.connect(str(system), None, dry_run=False) as where:
        for each in (manifests.namespace(), *manifests.of("mesh")):
            await where.apply(each, force=True)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        await where._send("POST", "/api/v1/namespaces/default/pods", pod, "application/json", {})
        await removal.Removal(where=where, tell=said.append, limit_s=4).everything(purge=True)
        await where._send(
            "DELETE", "/api/v1/namespaces/default/pods/late", {"gracePeriodSeconds": 0}, "application/json", {}
        )
    (waited,) = (line for line in said if "do not come up (default/late)" in line)
    assert said.index(waited) < said.index("clusterrolebinding/ipseity-control removed")


@pytest.mark.parametrize("it_ends", [True, False])
async def test_a_control_plane_that_still_ran_leaves_no_webhook(
    *, it_ends: bool, system: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes its configuration again while it ends; pods would wait for nobody. Also where it ends too late."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "control", "namespace": manifests.NAMESPACE, "labels": {"app": "ipseity-control"}},
        "spec": {"containers": [{"name": "control", "image": "example.com/a:1"}]},
    }
    path = f"{removal.PODS}/control"
    said: list[str] = []
    async with await cluster.Cluster.connect(str(system), None, dry_run=False) as where:
        for each in (manifests.namespace(), *manifests.of("mesh")):
            await where.apply(each, force=True)
        await where._send("POST", removal.PODS, pod, "application/json", {})
        deleted = asyncio.Event()
        delete = cluster.Cluster.delete

        async def delete_and_note(self: cluster.Cluster, what: str) -> str:
            done = await delete(self, what)
            if what.endswith("/deployments/ipseity-control"):
                deleted.set()
            return done

        async def linger() -> None:
            await deleted.wait()
            await where.apply(configuration.render(configuration.Endpoint()), force=True)
            await asyncio.sleep(0.7)
            if it_ends:
                await where._send("DELETE", path, {"gracePeriodSeconds": 0}, "application/json", {})

        monkeypatch.setattr(cluster.Cluster, "delete", delete_and_note)
        lingering = asyncio.create_task(linger())
        removing = removal.Removal(where=where, tell=said.append, limit_s=20 if it_ends else 1.5)
        if it_ends:
            await removing.everything(purge=True)
        else:
            with pytest.raises(kube.KubernetesError, match="the control plane ends"):
                await removing.everything(purge=True)
        await lingering
        assert "mutatingwebhookconfiguration/ipseity removed" in said
        assert await where.get(removal.WEBHOOK) is None
        if not it_ends:
            await where._send("DELETE", path, {"gracePeriodSeconds": 0}, "application/json", {})
            await removal.Removal(where=where, tell=said.append, limit_s=20).everything(purge=True)


def test_what_helm_keeps_is_left_to_helm(ipseity: Run, system: pathlib.Path) -> None:
    """Two that write the same objects would undo each other's work."""
    (workload,) = (each for each in manifests.of("agent") if each["kind"] == "DaemonSet")
    workload["metadata"]["labels"][manifests.MANAGED_BY] = "Helm"
    applied(system, manifests.namespace())
    applied(system, workload)
    for verb in ("install", "upgrade"):
        done = ipseity(verb, "--only", "agent", "--no-wait")
        assert 2 == done.returncode
        assert "the agent in this cluster is kept by Helm\nhint: use what installed it" in done.stderr


def test_an_upgrade_of_nothing_is_refused(ipseity: Run) -> None:
    done = ipseity("upgrade", "--only", "mesh", "--no-wait")
    assert 2 == done.returncode
    assert "there is no mesh in this cluster" in done.stderr


def test_cleaning_runs_where_and_as_the_agent_did() -> None:
    """On the same nodes, from the same image, for the same instance; with no right but to the BPF file system."""
    (agent,) = (each for each in manifests.of("agent") if each["kind"] == "DaemonSet")
    agent["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "IPSEITY_INSTANCE", "value": "one"})
    made = removal.cleanup(agent)["spec"]["template"]["spec"]
    (clean,) = made["initContainers"]
    assert agent["spec"]["template"]["spec"]["containers"][0]["image"] == clean["image"]
    checkpoint = {"name": "IPSEITY_CHECKPOINT", "value": "/run/ipseity/state"}
    assert [{"name": "IPSEITY_INSTANCE", "value": "one"}, checkpoint] == clean["env"]
    assert ["/sys/fs/bpf", "/run/ipseity"] == [each["mountPath"] for each in clean["volumeMounts"]]
    assert {"drop": ["ALL"]} == clean["securityContext"]["capabilities"]
    assert agent["spec"]["template"]["spec"]["tolerations"] == made["tolerations"]


def test_every_kind_that_is_shipped_has_a_path() -> None:
    """A manifest of a kind that nobody knows would show when somebody installs it."""
    for part in manifests.PARTS:
        for each in manifests.of(part):
            assert manifests.path(each).endswith(f"/{each['metadata']['name']}")


async def test_waiting_ends(system: pathlib.Path) -> None:
    """With what was waited for, and where to look."""

    async def never() -> bool:
        return False

    async with await cluster.Cluster.connect(str(system), None, dry_run=False) as where:
        with pytest.raises(kube.KubernetesError, match=r"not within 0\.1 s: the moon is full") as failed:
            await where.until(never, 0.1, "the moon is full", "look up")
    assert "look up" == failed.value.hint
