"""Our import names are ours, and what is installed is what the lock file says. Leaves out whether it works."""

import importlib.util
import pathlib
import re
import tomllib

import pytest

from tests.repo import tree

PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
LOCK = (tree.ROOT / "requirements.lock").read_text()
LOCKED = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE)
NOT_OURS = {"injector", "agent", "bcc", "bpf", "comparisons"}
"""Distributions on the Python Package Index that have our import names, or BCC's, and nothing to do with us."""


def normal(name: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_name_is_this_repository(package: str) -> None:
    """A package of the same name that is installed elsewhere would win silently."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert tree.ROOT / package / "__init__.py" == pathlib.Path(spec.origin)


def test_opentelemetrys_messages_are_those_of_its_own_distribution() -> None:
    """xds-protos brings an old copy to the same place. If this fails, that was installed last: make clean."""
    from opentelemetry.proto.logs.v1 import logs_pb2

    assert {"event_name", "observed_time_unix_nano"} <= set(logs_pb2.LogRecord.DESCRIPTOR.fields_by_name)


def test_no_dependency_has_the_name_of_one_of_our_packages() -> None:
    """Neither direct nor through others."""
    assert set() == NOT_OURS & {normal(name) for name, _ in LOCKED}


def test_every_dependency_is_locked() -> None:
    """Everything that pyproject.toml asks for is in the lock file."""
    project = PROJECT["project"]
    asked = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {normal(re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0]) for requirement in asked}
    assert set() == names - {normal(name) for name, _ in LOCKED}


def test_every_locked_file_has_a_hash_and_no_host() -> None:
    """The lock file says what, never from where."""
    requirements = re.findall(r"^[A-Za-z0-9._-]+==.*?(?=^\S|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    assert len(LOCKED) == len(requirements)
    assert [] == [requirement.split()[0] for requirement in requirements if "--hash=sha256:" not in requirement]
    assert [] == re.findall(r"://|--index|--find-links|--trusted", LOCK)


def test_every_dependency_has_its_reason() -> None:
    """docs/adr/0002-dependencies.md says why each direct dependency is here."""
    page = (tree.ROOT / "docs/adr/0002-dependencies.md").read_text().lower()
    project = PROJECT["project"]
    asked = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = [re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0] for requirement in asked]
    assert [] == [name for name in names if name.lower() not in page and not name.startswith("types-")]
