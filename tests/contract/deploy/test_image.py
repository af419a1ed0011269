"""What the images are made of: the Dockerfile as its linter wants it, every import of a program in its image's list.

Leaves out making and running them: ``tests/prove/image_check.py``.
"""

import ast
import importlib.metadata
import importlib.util
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.repo import tree
from tests.scene import image

IMAGE = tree.ROOT / "deploy/image"
PROGRAMS = {"agent": ("agent", "bpf", "ipseity"), "mesh": ("injector", "ipseity")}
OURS = {"agent", "bpf", "comparisons", "injector", "ipseity"}
DEBIAN = {"agent": {"bcc"}, "mesh": set[str]()}
"""From the Debian package that the Dockerfile installs."""


def loaded(name: str) -> Any:
    """Load a program of the image build, which is no module of ours."""
    spec = importlib.util.spec_from_file_location(name, IMAGE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def imported(path: pathlib.Path) -> set[str]:
    """Name the top-level packages that a file imports, wherever in it, but for type checkers."""
    tops: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            tops |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            tops.add(node.module.partition(".")[0])
        pending.extend(ast.iter_child_nodes(node))
    return tops


@pytest.mark.parametrize("target", PROGRAMS)
def test_whatever_a_program_imports_is_in_its_image(target: str) -> None:
    """Through requirements.lock, from the names in deploy/image; the image check would find it too, minutes later."""
    pick = loaded("pick")
    entries = pick.pick(
        (tree.ROOT / "requirements.lock").read_text(), pick.names((IMAGE / f"{target}.txt").read_text())
    )
    installed = {re.split("==", entry, maxsplit=1)[0].lower() for entry in entries}
    providers = importlib.metadata.packages_distributions()
    wanted = {top for package in PROGRAMS[target] for path in tree.files(f"{package}/*.py") for top in imported(path)}
    foreign = wanted - sys.stdlib_module_names - OURS - DEBIAN[target]
    lacking = {
        top: providers.get(top)
        for top in foreign
        if not {name.lower().replace("_", "-") for name in providers.get(top, ())} & installed
    }
    assert {} == lacking


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("hadolint"), tree.ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout)


def test_both_images_say_what_they_are() -> None:
    """OCI labels, of this version; a user; a command. And what is copied into the build is let in by .dockerignore."""
    text = image.DOCKERFILE.read_text()
    version = importlib.metadata.version("ipseity")
    assert [version] * 2 == re.findall(r'org\.opencontainers\.image\.version="([^"]+)"', text)
    assert ["0", "2103:2103"] == [rest for name, rest in image.instructions(text) if name == "USER"]
    let_in = {
        line.removeprefix("!") for line in (tree.ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = [rest.split()[:-1] for name, rest in image.instructions(text) if name == "COPY" and "--from" not in rest]
    assert set() == {source for sources in copied for source in sources if source != "deploy/image/bare.sh"} - let_in


def test_the_base_can_be_pinned() -> None:
    """By a digest, with one argument, for every stage."""
    text = image.DOCKERFILE.read_text()
    bases = {rest.split()[0] for name, rest in image.instructions(text) if name == "FROM"}
    assert {"${BASE}", "build", "scratch"} == bases


def test_a_name_that_is_not_locked_is_refused() -> None:
    with pytest.raises(LookupError, match="not in the lock file: nonesuch"):
        loaded("pick").pick("click==8.5.1 \\\n    --hash=sha256:00\n    # via ipseity (pyproject.toml)\n", {"nonesuch"})


def test_what_a_distribution_needs_comes_along() -> None:
    """As the lock file says it, on one line or on several; and nothing else."""
    lock = (
        "a==1 \\\n    --hash=sha256:00\n    # via ipseity (pyproject.toml)\n"
        "b==1 \\\n    --hash=sha256:00\n    # via\n    #   a\n    #   c\n"
        "c==1 \\\n    --hash=sha256:00\n    # via b\n"
        "d==1 \\\n    --hash=sha256:00\n    # via ipseity (pyproject.toml)\n"
    )
    assert ["a==1", "b==1", "c==1"] == [entry.split()[0] for entry in loaded("pick").pick(lock, {"a"})]


def test_the_programs_of_the_manifests_are_in_the_images() -> None:
    """Whatever path a manifest starts is one that the Dockerfile makes."""
    manifest = (tree.ROOT / "tests/golden/deploy/odd-nodes.golden.yaml").read_text()
    (pod,) = (each["spec"]["template"]["spec"] for each in yaml.safe_load_all(manifest) if each["kind"] == "DaemonSet")
    words = {word for each in [*pod["initContainers"], *pod["containers"]] for word in each["command"]}
    shared = {word for word in words if word.startswith("/usr/lib/ipseity/share/")}
    assert {"/usr/lib/ipseity/share/relay.py", "/usr/lib/ipseity/share/mount_bpffs.py"} == shared
    assert "cp deploy/image/relay.py deploy/image/mount_bpffs.py" in image.DOCKERFILE.read_text()
