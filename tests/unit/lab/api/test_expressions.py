"""CEL: values, errors in cel-go's words, and what does not compile. Leaves out the language: its library has it."""

from typing import Any

import pytest

from comparisons.lab.api import expressions

VALUES = {"a": {"b": "c", "n": 7, "none": None}, "l": [1, 2]}


def compiled(text: str) -> expressions.Program:
    """Compile over ``a`` and ``l``."""
    return expressions.compiled(text, ("a", "l"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b == 'c'", True),
        ("a.n > 6 && a.n < 8.5", True),
        ("has(a.x)", False),
        ("a.none == null", True),
        ("l.map(x, x * 2)", [2, 4]),
        ("a.?x.orValue('y')", "y"),
        ("'A-B'.lowerAscii().split('-')", ["a", "b"]),
        ("base64.encode(b'x')", "eA=="),
        ("math.greatest(1, 3, 2)", 3),
    ],
)
def test_a_value(text: str, value: Any) -> None:
    """Plain, as JSON has it."""
    assert value == compiled(text).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.x == 1", "no such key: x"),
        ("a.b + 1 == 2", "no such overload"),
        ("1 / (a.n - 7) == 1", "division by zero"),
    ],
)
def test_an_error(text: str, words: str) -> None:
    """As the real server words it."""
    with pytest.raises(expressions.Failed) as caught:
        compiled(text).evaluate(VALUES)
    assert words == str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "a ==", "nobody == 1", "1 == 'a'", "a.b.unknown()", "(" * 1000, "a" + ".b" * 9999]
)
def test_what_does_not_compile(text: str) -> None:
    """Is said with its place, however odd it is."""
    with pytest.raises(expressions.NotAnExpression):
        compiled(text)


def test_the_type_is_known_before_the_value() -> None:
    """Of what compares; a field may be anything."""
    assert (True, False, False) == tuple(compiled(text).is_bool for text in ("a.b == 'c'", "a.b", "1"))
