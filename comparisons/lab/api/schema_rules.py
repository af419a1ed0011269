"""A schema's own rules in CEL (``x-kubernetes-validations``): are they readable, and does an object fulfil them.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel. ``self`` is the value that the rule stands at, ``oldSelf``
what it was before an update; a rule that speaks of ``oldSelf`` is asked only where there is one (unless
``optionalOldSelf``). Leaves out cost limits, Kubernetes' own function libraries, and types known from the schema: what
is wrong in a rule may show only when it is asked, and a time below ``self`` is its text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from comparisons.lab.api import expressions, schema_validation, status

Schema = Mapping[str, Any]
Causes = Iterator[status.Cause]

RULES = "x-kubernetes-validations"
REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_RESERVED = frozenset(
    {
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
"""Words that CEL keeps for itself: a field of that name is ``__namespace__``."""
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_OLD = re.compile(r"\boldSelf\b")
_PATH = re.compile(r"\.([A-Za-z_][\w-]*)|\['((?:[^'\\]|\\.)+)'\]")
_VARIABLES = ("self", "oldSelf")
TIMES = frozenset({"date-time", "datetime"})
"""Formats whose ``self`` is a timestamp."""
_UNSAID = schema_validation.UNSAID


def check(schema: Schema, path: str) -> Causes:
    """Return what is wrong with the rules of one node of a schema."""
    for index, rule in enumerate(schema.get(RULES) or ()):
        here = f"{path}[{index}]"
        if not str(rule.get("rule", "")).strip():
            yield status.required(f"{here}.rule", "rule is not specified")
            continue
        yield from _compiles(rule["rule"], f"{here}.rule", must_be_bool=True)
        if rule.get("messageExpression"):
            yield from _compiles(rule["messageExpression"], f"{here}.messageExpression", must_be_bool=False)
        if rule.get("reason") and rule["reason"] not in REASONS:
            yield status.unsupported(f"{here}.reason", rule["reason"], REASONS)
        if rule.get("fieldPath") and _PATH.sub("", rule["fieldPath"]):
            yield status.bad(f"{here}.fieldPath", rule["fieldPath"], "fieldPath must be a valid path")


def _compiles(text: str, path: str, *, must_be_bool: bool) -> Causes:
    try:
        program = expressions.compiled(text, _VARIABLES)
    except expressions.NotAnExpression as error:
        yield status.bad(path, text, f"compilation failed: {error}")
        return
    if must_be_bool and not (program.is_bool or program.is_dynamic):
        yield status.bad(path, text, "cel expression must evaluate to a bool")


def broken(schema: Schema, value: Any, old: Any = _UNSAID, path: str = "") -> Causes:
    """Return the rules that an object does not fulfil, here and below."""
    if value is None or schema_validation.same(value, old):
        return
    for rule in schema.get(RULES) or ():
        yield from _broken(rule, schema, value, old, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            below = properties.get(name, more if isinstance(more, dict) else {})
            yield from broken(below, item, before.get(name, _UNSAID), f"{path}.{name}" if path else name)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        before_items = schema_validation.correlated(schema, value, old)
        for index, item in enumerate(value):
            yield from broken(schema["items"], item, before_items[index], f"{path}[{index}]")


def _broken(rule: Mapping[str, Any], schema: Schema, value: Any, old: Any, path: str) -> Causes:
    of_change = _OLD.search(rule["rule"]) is not None
    if of_change and old is _UNSAID and not rule.get("optionalOldSelf"):
        return
    variables = {"self": exposed(schema, value), "oldSelf": None if old is _UNSAID else exposed(schema, old)}
    where = path + str(rule.get("fieldPath") or "")
    said = rule.get("message") or rule["rule"]
    try:
        holds = expressions.compiled(_bound(rule, schema, rule["rule"]), _VARIABLES).evaluate(variables)
    except (expressions.Failed, expressions.NotAnExpression) as error:
        words = "'{}': call arguments did not match a supported operator, function or macro signature for rule: {}"
        detail = words.format(error, said) if "no such overload" in str(error) else f"{error} evaluating rule: {said}"
        yield _cause(rule, where, value, detail)
        return
    if holds is not True:
        yield _cause(rule, where, value, _message(rule, schema, variables))


def _bound(rule: Mapping[str, Any], schema: Schema, text: str) -> str:
    """Return an expression whose variables have types that JSON lacks: a time, an ``oldSelf`` that may be missing."""
    if schema.get("format") in TIMES:
        text = f"[timestamp(self)].map(self, ({text}))[0]"
    if rule.get("optionalOldSelf"):
        text = f"[oldSelf == null ? optional.none() : optional.of(oldSelf)].map(oldSelf, ({text}))[0]"
    return text


def _message(rule: Mapping[str, Any], schema: Schema, variables: Mapping[str, Any]) -> str:
    if rule.get("messageExpression"):
        text = _bound(rule, schema, rule["messageExpression"])
        try:
            said = expressions.compiled(text, _VARIABLES).evaluate(variables)
        except (expressions.Failed, expressions.NotAnExpression):
            said = None
        if isinstance(said, str) and said.strip() and "\n" not in said:
            return said
    return str(rule.get("message") or f"failed rule: {rule['rule'].strip()}")


def _cause(rule: Mapping[str, Any], path: str, value: Any, detail: str) -> status.Cause:
    field = path.removeprefix(".") or schema_validation.NOWHERE
    match rule.get("reason"):
        case "FieldValueForbidden":
            return status.forbidden_field(field, detail)
        case "FieldValueRequired":
            return status.required(field, detail)
        case "FieldValueDuplicate":
            return status.duplicate(field, value)
        case _ if isinstance(value, dict | list):  # the real server does not print what is large
            return status.Cause(field=field, reason="FieldValueInvalid", message=f"Invalid value: {detail}")
        case _:
            return status.bad(field, value, detail)


def exposed(schema: Schema, value: Any) -> Any:
    """Return a value as rules see it: escaped field names, and floats where the schema says numbers."""
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        return {
            escaped(name) if name in properties else name: exposed(
                properties.get(name, more if isinstance(more, dict) else {}), item
            )
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [exposed(schema.get("items") or {}, item) for item in value]
    is_number = isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number"
    return float(value) if is_number else value


def escaped(name: str) -> str:
    """Return a field's name as rules spell it."""
    if name in _RESERVED:
        return f"__{name}__"
    for piece, escape in _ESCAPES:
        name = name.replace(piece, escape)
    return name
