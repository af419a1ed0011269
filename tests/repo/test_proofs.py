"""A claim that is tests names tests that are there: one that was renamed would fail an hour into a proof."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PATH = re.compile(r"tests/[\w/]+\.py")
PROOFS = sorted(path.stem for path in (ROOT / "tests/prove").glob("[!_]*.py"))


def cases(path: pathlib.Path) -> list[str]:
    """List what pytest is given, as it is written: constants of the module are filled in."""
    tree = ast.parse(path.read_text())
    known = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(_text(part, known) for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return [text for text in found if PATH.match(text) and "\n" not in text and "::" in text]


def _text(part: ast.expr, known: dict[str, object]) -> str:
    if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
        return str(known.get(part.value.id, ""))
    return str(part.value) if isinstance(part, ast.Constant) else ""


@pytest.mark.parametrize("name", PROOFS)
def test_what_a_claim_names_is_there(name: str) -> None:
    """The file, and the test in it."""
    for case in cases(ROOT / f"tests/prove/{name}.py"):
        path, _, test = case.partition("::")
        assert (ROOT / path).is_file(), case
        text = (ROOT / path).read_text()
        assert all(re.search(rf"(def|class) {word.partition('[')[0]}\b", text) for word in test.split("::")), case


def test_some_claims_are_tests() -> None:
    """Otherwise nothing is looked at."""
    assert 20 < sum(len(cases(ROOT / f"tests/prove/{name}.py")) for name in PROOFS)
