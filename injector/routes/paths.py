"""Paths of routes: their form, and what a path becomes whose prefix is replaced.

Here because a redirect and a rewrite do the same to a path, and the specification has a table of what that is. Leaves
out how paths are matched: Envoy does that.
"""

import re
from typing import Final

import re2

from injector.policy import document
from injector.routes import model

_PATH: Final = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*")
_FORBIDDEN: Final = ("//", "/./", "/../", "%2f", "%2F")
_MAX: Final = 1024


def read(node: document.Node) -> str:
    """Read a path. It begins with a slash and is in its shortest form."""
    text = node.spelled(_PATH, "a path that begins with /, without ? and #")
    if len(text) > _MAX:
        node.refuse(f"a path of at most {_MAX} characters")
    if any(each in text for each in _FORBIDDEN) or text.endswith(("/.", "/..")):
        node.refuse(f"a path without {', '.join(_FORBIDDEN)}")
    return text


def trimmed(prefix: str) -> str:
    """Give a prefix without the slash at its end, which means nothing."""
    return prefix.rstrip("/") or "/"


def replaced(prefix: str, new: str) -> tuple[str, str]:
    """Give the regular expression and the substitution that replace a prefix; both are ``trimmed``.

    Elements stay whole: ``/a`` replaced by ``/`` makes ``/b`` of ``/a/b``, and ``/`` of ``/a``.
    """
    if prefix == "/":
        return "^/", f"{escaped(new)}/" if new != "/" else "/"
    if new == "/":
        return f"^{re2.escape(prefix)}/?", "/"
    return f"^{re2.escape(prefix)}", escaped(new)


def escaped(text: str) -> str:
    r"""Give a substitution that means itself: ``\1`` would be what was matched."""
    return text.replace("\\", r"\\")


def call(service: model.Text | None, method: model.Text | None) -> str:
    """Give the regular expression of a gRPC call's path, ``/package.Service/Method``; None: any."""
    return f"/{_part(service)}/{_part(method)}"


def _part(text: model.Text | None) -> str:
    if text is None:
        return "[^/]+"
    return f"(?:{text.value})" if text.regex else text.value.replace(".", r"\.")
