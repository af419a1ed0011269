"""Patterns as Go's regexp package reads them (RE2), for Python's ``re``: a schema's ``pattern`` means what it says.

What Go refuses is refused (look-around, back-references), and so is the little of RE2 that ``re`` lacks (classes of
Unicode). Leaves out RE2's promise of linear time: a schema in a lab is its owner's.
"""

import functools
import re

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_REFUSED = re.compile(r"\(\?(?:=|!|<=|<!|>|\(|#|P=|P>)")
_PIECES = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\(\?[^)a-zA-Z]*|\$|.", re.DOTALL)


class BadPattern(ValueError):  # noqa: N818  # it reads as what happened
    """The pattern cannot be read; the text says why."""


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern to be searched for; raises BadPattern."""
    if _REFUSED.search(pattern):
        raise BadPattern(f"error parsing regexp: invalid or unsupported Perl syntax: `{pattern}`")
    try:
        return re.compile("".join(_translated(piece) for piece in _PIECES.findall(pattern)), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"error parsing regexp: {error}: `{pattern}`") from error


def _translated(piece: str) -> str:
    """Return a piece of Go's pattern for Python."""
    if piece.startswith("\\Q"):
        return re.escape(piece[2:].removesuffix("\\E"))
    if piece in {"$", "\\z"}:  # Python's own dollar also matches before a last newline
        return r"\Z"
    if piece.startswith("\\") and piece[1:].isdigit() and piece != "\\0":
        raise BadPattern(f"error parsing regexp: invalid escape sequence: `{piece}`")
    if piece.startswith("["):
        return re.sub(r"\[:(\w+):\]", lambda found: _POSIX.get(found[1], found[0]), piece)
    return piece
