"""CEL expressions: text -> a program, and a program with its variables -> a value, worded as the real server does.

The real server has cel-go; this is cel-cpp, from the same authors, with the same checker. Errors that people meet are
put into cel-go's words. Leaves out Kubernetes' own functions (``quantity``, ``ip``, ``cidr``, ``url``, ``semver``,
``authorizer``) and cost limits: a lab's expressions are its own user's.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_encoders, ext_math, ext_optional, ext_strings

PROGRAMS = 512
"""Compiled expressions that are kept: arbitrary, far above what a lab has."""


class NotAnExpression(Exception):  # noqa: N818  # it reads as what happened
    """It does not compile; the text is cel's, with the place marked."""


class Failed(Exception):  # noqa: N818  # it reads as what happened
    """It compiles and has no value for these variables."""


class Program:
    """A compiled expression."""

    def __init__(self, text: str, compiled: Any) -> None:
        self.text = text
        self._compiled = compiled

    @property
    def is_bool(self) -> bool:
        """Whether it is known to be true or false before it is evaluated."""
        return bool(self._compiled.return_type() == cel.Type.BOOL)

    @property
    def is_dynamic(self) -> bool:
        """Whether only an evaluation tells of what type it is."""
        return bool(self._compiled.return_type() == cel.Type.DYN)

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Return its value; raises Failed. Values are those of JSON."""
        found = self._compiled.eval(data=variables)
        if found.type() == cel.Type.ERROR:
            raise Failed(_go_words(str(found.value())))
        return found.plain_value()


@functools.lru_cache(maxsize=PROGRAMS)
def compiled(text: str, variables: tuple[str, ...]) -> Program:
    """Compile an expression over variables of any type; raises NotAnExpression."""
    try:
        return Program(text, _environment(variables).compile(text))
    except RuntimeError as error:
        said = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise NotAnExpression(said) from error


@functools.cache
def _environment(variables: tuple[str, ...]) -> Any:
    extensions = [
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_encoders.ExtEncoders(),
        ext_optional.ExtOptional(),
    ]
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), extensions=extensions)


_WORDS = (
    (re.compile(r'^Key not found in map : "?(.*?)"?$'), r"no such key: \1"),
    (re.compile(r"^No matching overloads? found.*$"), "no such overload"),
    (re.compile(r"^divide by zero$"), "division by zero"),
)


def _go_words(said: str) -> str:
    """Return cel-go's words for an error of cel-cpp (``NOT_FOUND: Key not found in map : "foo"``)."""
    words = re.sub(r"^[A-Z_]+: ", "", said)
    for pattern, replacement in _WORDS:
        if pattern.match(words):
            return pattern.sub(replacement, words)
    return words
