"""The texts and numbers of a route, each read strictly: what passes here is taken by every Envoy.

Regular expressions are tried by RE2, which is what Envoy has: one that it refuses would hold up everything else that a
proxy is told of the Service. Leaves out paths (``paths``) and headers (``headers``).
"""

import re
from typing import Final

import re2

from injector.policy import document

HOSTNAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MAX_TEXT: Final = 4096
MAX_REGEX: Final = 1024
MAX_NAME: Final = 256
"""As upstream's schema has them."""
_DURATION: Final = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_PART: Final = re.compile(r"([0-9]+)(h|ms|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_GRPC: Final = re.compile(r"[A-Za-z_][\w.]{0,1023}", re.ASCII)
_QUIET: Final = re2.Options()
_QUIET.log_errors = False


def duration_s(node: document.Node) -> float:
    """Read a duration (GEP-2257), in seconds."""
    text = node.spelled(_DURATION, "a duration such as 10s, 1m30s or 500ms")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def number(node: document.Node, least: int, most: int) -> int:
    """Read a whole number."""
    if isinstance(node.value, bool) or not isinstance(node.value, int) or not least <= node.value <= most:
        node.refuse(f"a number from {least} to {most}")
    return node.value


def plain(node: document.Node) -> str:
    """Read a text without control characters."""
    text = node.spelled(_PLAIN, "a text without control characters")
    if len(text) > MAX_TEXT:
        node.refuse(f"at most {MAX_TEXT} characters")
    return text


def query(node: document.Node) -> str:
    """Read the name of a query parameter: as long as that of a header. Envoy refuses more than 1024 bytes."""
    text = plain(node)
    if len(text) > MAX_NAME:
        node.refuse(f"the name of a query parameter, of at most {MAX_NAME} characters")
    return text


def grpc(node: document.Node) -> str:
    """Read the name of a gRPC service or method."""
    return node.spelled(_GRPC, "the name of a gRPC service or method")


def regex(node: document.Node) -> str:
    """Read a regular expression."""
    text = plain(node)
    if len(text) > MAX_REGEX:
        node.refuse(f"a regular expression of at most {MAX_REGEX} characters")
    compiles(node, text)
    return text


def compiles(node: document.Node, pattern: str) -> None:
    """Refuse a value whose regular expression, as Envoy gets it, is none of RE2's."""
    try:
        re2.compile(pattern, _QUIET)
    except re2.error as error:
        said = error.args[0]
        node.refuse(f"a regular expression of RE2 ({said.decode() if isinstance(said, bytes) else said})")
