"""Headers in routes: which names may be matched and changed, and the change itself.

Here because some headers are not a route's to change: a host is rewritten by URLRewrite, what Envoy or the mesh say
of a connection would be a lie if a route could say it, and where a message ends is the proxies' to say. Leaves out
how Envoy does it.
"""

import re
from typing import Final

from injector.policy import document
from injector.routes import model, spelling

MAX: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
_HOST: Final = "host"
_FRAMING: Final = frozenset(
    {
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
        "proxy-connection",
    }
)
"""Where a message ends, and what one connection carries: changed, they would make two requests of one."""
_OURS: Final = ("x-envoy-", "x-ipseity-")
_LEFT: Final = (
    "the name of a header other than Host (URLRewrite changes that), X-Envoy-*, X-Ipseity-* and those of the "
    f"connection ({', '.join(sorted(_FRAMING))})"
)


def matched(node: document.Node) -> str:
    """Read the name of a header that is looked at, in lower case. Host is what HTTP/2 calls ``:authority``."""
    name = node.spelled(_NAME, "the name of a header").lower()
    return ":authority" if name == _HOST else name


def modifier(node: document.Node) -> model.Headers:
    """Read what is done to headers. Each name stands in it once."""
    found = node.fields("set", "add", "remove")
    return model.Headers(
        set=_pairs(found["set"]) if "set" in found else (),
        add=_pairs(found["add"]) if "add" in found else (),
        remove=tuple(_changed(each) for each in found["remove"].items(at_most=MAX)) if "remove" in found else (),
    )


def _pairs(node: document.Node) -> tuple[tuple[str, str], ...]:
    read: dict[str, tuple[str, str]] = {}
    for each in node.items(at_most=MAX):
        pair = each.fields("name", "value", required=("name", "value"))
        name = _changed(pair["name"])
        read.setdefault(name.lower(), (name, spelling.plain(pair["value"])))
    return tuple(read.values())


def _changed(node: document.Node) -> str:
    name = node.spelled(_NAME, "the name of a header")
    if name.lower() in {_HOST, *_FRAMING} or name.lower().startswith(_OURS):
        node.refuse(_LEFT)
    return name
