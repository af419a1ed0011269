"""``ipseity inject`` and ``uninject``: YAML in, YAML out. Leaves out what is injected: golden files."""

import copy
import json
import pathlib
from typing import Any

import click.testing
import pytest
import yaml

from injector.webhook import commands, manifests, options, patch
from ipseity import settings
from tests.fakes import admission

POD = {"containers": [{"name": "web", "image": "web:1"}]}


def workload(kind: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "web", **metadata}, "spec": spec}


TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": POD}
KINDS = [
    workload("Pod", POD),
    *(
        workload(kind, {"template": TEMPLATE})
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
    ),
    workload("CronJob", {"jobTemplate": {"spec": {"template": {"spec": POD}}}}),
]


def injected(*documents: Any) -> list[Any]:
    text = yaml.safe_dump_all(documents)
    return list(yaml.safe_load_all(manifests.inject(text, "f.yaml", admission.INSTALLATION).text))


@pytest.mark.parametrize("document", KINDS, ids=lambda document: document["kind"])
def test_every_kind_that_makes_pods_is_injected_and_given_back(document: dict[str, Any]) -> None:
    """What comes back is what was given."""
    result = manifests.inject(yaml.safe_dump(document), "f.yaml", admission.INSTALLATION)
    assert (f"{document['kind'].lower()}/web: injected",) == result.notes
    assert 3 == result.text.count("- ipseity\n")
    back = manifests.uninject(result.text, "f.yaml")
    assert (f"{document['kind'].lower()}/web: uninjected",) == back.notes
    assert document == yaml.safe_load(back.text)


def test_a_pod_gets_the_very_patch_that_the_webhook_sends() -> None:
    """In a namespace that says enabled."""
    pod = copy.deepcopy(workload("Pod", POD))
    operations = admission.operations(admission.ask(admission.body(pod), {"ipseity.io/inject": "enabled"}).answer)
    patch.apply(pod, operations)
    assert [pod] == injected(workload("Pod", POD))


def test_namespaces_of_the_same_input_have_their_say() -> None:
    """Those of an object, not those of others; in lists as well."""
    namespace = {
        "kind": "Namespace",
        "metadata": {"name": "shop", "annotations": {"config.ipseity.io/proxy-uid": "7"}},
    }
    listed = {"kind": "List", "items": [workload("Pod", POD, namespace="shop"), workload("Pod", POD)]}
    [_, found] = injected(namespace, listed)
    users = [item["spec"]["initContainers"][1]["securityContext"]["runAsUser"] for item in found["items"]]
    assert [7, 2102] == users


def test_what_says_no_is_left() -> None:
    """And everything that makes no pods; the reason is told."""
    documents = [workload("Pod", POD, annotations={"ipseity.io/inject": "disabled"}), {"kind": "ConfigMap", "data": {}}]
    result = manifests.inject(yaml.safe_dump_all(documents), "f.yaml", admission.INSTALLATION)
    assert documents == list(yaml.safe_load_all(result.text))
    [note] = result.notes
    assert note.startswith("pod/web: skipped (injection_disable_annotation_present)")


def test_twice_is_once() -> None:
    """Whoever pipes it through again changes nothing."""
    once = manifests.inject(yaml.safe_dump(KINDS[1]), "f.yaml", admission.INSTALLATION)
    twice = manifests.inject(once.text, "f.yaml", admission.INSTALLATION)
    assert once.text == twice.text
    assert "already_injected" in twice.notes[0]


def test_uninject_leaves_what_has_none() -> None:
    """Nothing of the author's looks like ours."""
    result = manifests.uninject(yaml.safe_dump(KINDS[1]), "f.yaml")
    assert KINDS[1] == yaml.safe_load(result.text)
    assert ("deployment/web: skipped: there is no sidecar",) == result.notes


def test_what_the_author_had_before_stays() -> None:
    """Volumes to evict, a default container, settings of the pod itself."""
    annotations = {
        patch.EVICTABLE: "scratch",
        patch.DEFAULT_CONTAINER: "web",
        "config.ipseity.io/proxy-native-sidecar": "disabled",
        "ipseity.io/inject": "enabled",
    }
    document = workload("Pod", {**POD, "volumes": [{"name": "scratch", "emptyDir": {}}]}, annotations=annotations)
    result = manifests.inject(yaml.safe_dump(document), "f.yaml", admission.INSTALLATION)
    assert "scratch,ipseity-workload" in result.text
    assert document == yaml.safe_load(manifests.uninject(result.text, "f.yaml").text)


def test_shared_parts_are_changed_in_one_place_only() -> None:
    """YAML's aliases make one list of two containers' lists."""
    text = """
kind: Deployment
metadata: {name: a}
spec: {template: &t {spec: {containers: [{name: web}]}}}
---
kind: Pod
metadata: {name: b}
spec: {containers: &c [{name: x}], initContainers: *c}
"""
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    result = manifests.inject(text, "f.yaml", admission.INSTALLATION)
    assert "&" not in result.text
    pod = list(yaml.safe_load_all(result.text))[1]
    assert ["ipseity-redirect", "ipseity-proxy", "x"] == [each["name"] for each in pod["spec"]["initContainers"]]
    assert ["x"] == [each["name"] for each in pod["spec"]["containers"]]


def test_text_stays_text() -> None:
    """Also for readers of YAML that see a number or a truth where ours does not."""
    words = {
        f"k{number}": word for number, word in enumerate(["1e3", "0o7", "y", "N", "~", "on", "1_0", "0x1", "a\nb"])
    }
    text = manifests.inject(yaml.safe_dump({"kind": "ConfigMap", "data": words}), "f", admission.INSTALLATION).text
    assert words == yaml.safe_load(text)["data"]
    assert all(f"'{word}'" in text for word in ("1e3", "0o7", "y", "N", "~", "on", "1_0", "0x1"))
    assert "d: '2026-11-22'" in manifests.inject("d: 2026-11-22", "f", admission.INSTALLATION).text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"f.yaml, line 1: not YAML"),
        ("kind: Pod\n---\na: !!python/object:x {}", r"f.yaml, line 3: not YAML: could not determine a constructor"),
        (
            "kind: Deployment\nmetadata: {name: web}",
            r"f.yaml document 1: Deployment default/web: spec.template is missing",
        ),
        ("---\n---\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: 7", r"document 1: Pod b/a: not a pod.*spec"),
        (
            "kind: Pod\nmetadata: {name: a, annotations: {x: true}}\nspec: {}",
            r"Pod default/a: not a pod: Expected `str`",
        ),
        (
            "kind: Pod\nmetadata: {annotations: {config.ipseity.io/x: '1'}}\nspec: {}",
            r"Pod default/\?: unknown annotation",
        ),
        ("kind: Namespace\nmetadata: {annotations: 3}", r"f.yaml: Namespace: metadata: Expected"),
    ],
)
def test_an_error_names_file_document_and_object(text: str, message: str) -> None:
    """And nothing is written."""
    with pytest.raises(manifests.Unusable, match=message):
        manifests.inject(text, "f.yaml", admission.INSTALLATION)


def test_the_commands_read_files_and_standard_input(tmp_path: pathlib.Path) -> None:
    """YAML to stdout, one line on each object to stderr."""
    runner = click.testing.CliRunner()
    file = tmp_path / "web.yaml"
    file.write_text(json.dumps(KINDS[1]))
    there = runner.invoke(
        commands.inject, ["-f", str(file), "-f", "-", "--proxy-image", "x:2"], input="kind: Pod\nspec: {}"
    )
    assert (0, "deployment/web: injected\npod/?: injected\n") == (there.exit_code, there.stderr)
    assert 4 == there.stdout.count("image: x:2")
    assert 2 == len(list(yaml.safe_load_all(there.stdout)))
    back = runner.invoke(commands.uninject, [], input=there.stdout)
    assert [KINDS[1], {"kind": "Pod", "spec": {}}] == list(yaml.safe_load_all(back.stdout))


def test_half_of_it_is_never_written(tmp_path: pathlib.Path) -> None:
    """A bad second file leaves stdout empty; so does what is no text."""
    file = tmp_path / "web.yaml"
    file.write_text(json.dumps(KINDS[1]))
    for wrong in (b"a: [", b"\xff"):
        result = click.testing.CliRunner().invoke(commands.inject, ["-f", str(file), "-f", "-"], input=wrong)
        assert isinstance(result.exception, manifests.Unusable)
        assert "" == result.stdout


def test_the_options_of_an_installation_reach_the_sidecar() -> None:
    """As flags and as variables."""
    loaded = settings.load(options.Options, {"proxy_image": "x:2"}, {"IPSEITY_PROXY_COMMAND": "/bin/py,ipseity"})
    made = options.installation(loaded, "0.3.0")
    assert ("x:2", ("/bin/py", "ipseity"), "256Mi") == (made.image, made.command, made.proxy.memory_limit)
    assert "ipseity-control.mesh.svc:8445" == options.installation(loaded, "0.3.0", "mesh").discovery_address
    assert "ipseity:0.3.0" == options.installation(options.Options(), "0.3.0").image
    with pytest.raises(settings.SettingError, match="--proxy-cpu-limit: 'much' is not a quantity"):
        options.installation(options.Options(proxy_cpu_limit="much"), "0.3.0")
