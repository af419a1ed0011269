"""JSON that is read strictly: every refusal names the place, the value and what is allowed there.

Here because a policy that is half understood is worse than none, and because the API server's schema may not have been
in force when an object was stored. Leaves out what the fields mean (``model``).
"""

import dataclasses
import enum
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from injector import errors

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)
MAX_PORT: Final = 65_535
_MAX_QUOTED: Final = 60
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A value, and where it stands: ``spec.rules[0].sources``."""

    path: str
    value: Any

    def refuse(self, allowed: str) -> NoReturn:
        """Say that this value is not one of those allowed. Raises errors.InvalidPolicy."""
        raise errors.InvalidPolicy(
            f"{self.path}: {quoted(self.value)} is not allowed; allowed: {allowed}", hint=f"allowed: {allowed}"
        )

    def fields(self, *known: str, required: tuple[str, ...] = ()) -> Mapping[str, "Node"]:
        """Read an object. A field that is not known is refused: what it would have restricted must not be ignored."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        for key in self.value:
            if key not in known:
                place = f".{key}" if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else f"[{quoted(key)}]"
                raise errors.InvalidPolicy(
                    f"{self.path}{place}: no such field; there are: {', '.join(known)}",
                    hint="take it out, or write it as it is spelled in the list",
                )
        for key in required:
            if key not in self.value:
                raise errors.InvalidPolicy(f"{self.path}.{key}: is required and missing", hint=f"add {key}")
        return {key: Node(f"{self.path}.{key}", value) for key, value in self.value.items()}

    def pairs(self, at_most: int) -> list[tuple[str, "Node"]]:
        """Read an object whose keys are the user's own."""
        if not isinstance(self.value, dict) or len(self.value) > at_most:
            self.refuse(f"an object of at most {at_most} entries")
        return [(str(key), Node(f"{self.path}[{quoted(key)}]", value)) for key, value in self.value.items()]

    def items(self, *, at_most: int, at_least: int = 0) -> list["Node"]:
        """Read a list."""
        if not isinstance(self.value, list) or not at_least <= len(self.value) <= at_most:
            count = f"of {at_least} to {at_most} entries" if at_least != at_most else f"of exactly {at_most}"
            self.refuse(f"a list {count}")
        return [Node(f"{self.path}[{number}]", value) for number, value in enumerate(self.value)]

    def text(self, allowed: str = "a text") -> str:
        """Read a text."""
        if not isinstance(self.value, str):
            self.refuse(allowed)
        return self.value

    def spelled(self, pattern: re.Pattern[str], allowed: str) -> str:
        """Read a text of a certain form."""
        if not pattern.fullmatch(self.text(allowed)):
            self.refuse(allowed)
        return str(self.value)

    def choice(self, choices: type[E]) -> E:
        """Read one word of a closed list."""
        return self.made(choices, ", ".join(choices))

    def port(self, least: int = 1) -> int:
        """Read a port number, at least ``least``."""
        # A bool is an int to Python, and not to anybody who writes a policy.
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= MAX_PORT:
            self.refuse(f"a number from {least} to {MAX_PORT}")
        return self.value

    def made(self, make: Callable[[str], T], allowed: str) -> T:
        """Read a text through a constructor that raises ValueError."""
        text = self.text(allowed)
        try:
            return make(text)
        except ValueError:
            self.refuse(allowed)


def quoted(value: Any) -> str:
    """Spell a JSON value, cut where it is long; lists and objects by their size only."""
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "object"
        return f"a{'n' if kind == 'object' else ''} {kind} of {len(value)}"
    text = json.dumps(value, default=repr)
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 1] + "…"
