"""In which order matches are tried, where several routes apply to one Service port: the first that holds decides. Pure.

Here because the specification orders matches by what they say, and only then by whose they are; Envoy tries them from
top to bottom. So an order over all matches of all rules is the whole of merging. What the specification leaves to
implementations: a regular expression of a path counts less than an exact path and more than any prefix, since beside
the prefix ``/`` it would never be asked.
"""

from typing import Final

from injector.routes import model

_KINDS: Final = {model.PathKind.EXACT: 0, model.PathKind.REGEX: 1, model.PathKind.PREFIX: 2}
Key = tuple[int | str, ...]


def http(match: model.Match) -> Key:
    """Order matches of HTTPRoutes: what sorts first is tried first.

    An exact path; the longest prefix; a method; the most headers; the most query parameters.
    """
    kind, value = match.path or (model.PathKind.PREFIX, "/")
    return _KINDS[kind], -len(value), not match.method, -len(match.headers), -len(match.query)


def grpc(match: model.Match) -> Key:
    """Order matches of GRPCRoutes: the longest service; the longest method; the most headers. What is exact wins."""
    return (*_text(match.service), *_text(match.call), -len(match.headers))


def age(route: model.Route) -> Key:
    """Order routes whose matches say as much: the oldest first, then by name. Within a route the first rule wins."""
    return route.created, route.namespace, route.name


def _text(text: model.Text | None) -> tuple[int, int]:
    if text is None:
        return 2, 0
    return int(text.regex), -len(text.value)
