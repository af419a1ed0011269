"""What a name may be: DNS labels and subdomains, qualified names, label values; and how generated names end.

From k8s.io/apimachinery/pkg/util/validation; the messages are the real server's, since people search for them.
"""

import random
import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
    "is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)

LABEL_LENGTH, SUBDOMAIN_LENGTH = 63, 253
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, and nothing that looks like another letter: k8s.io/apimachinery/pkg/util/rand."""
SUFFIX_LENGTH = 5


def label(text: str) -> str:
    """Why it is no DNS label; "" if it is one."""
    return _judge(text, _LABEL, LABEL_LENGTH, LABEL_WORDS)


def label_1035(text: str) -> str:
    """Why it is no DNS label that starts with a letter (a service's name)."""
    return _judge(text, _LABEL_1035, LABEL_LENGTH, LABEL_1035_WORDS)


def subdomain(text: str) -> str:
    """Why it is no DNS subdomain; "" if it is one."""
    return _judge(text, _SUBDOMAIN, SUBDOMAIN_LENGTH, SUBDOMAIN_WORDS)


def path_segment(text: str) -> str:
    """Why it can be no part of a path (a role's name): k8s.io/apimachinery/pkg/api/validation/path."""
    if text in {".", ".."}:
        return f"may not be '{text}'"
    return next((f"may not contain '{each}'" for each in "/%" if each in text), "")


def label_value(text: str) -> str:
    """Why it is no label's value."""
    return _judge(text, _QUALIFIED, LABEL_LENGTH, VALUE_WORDS) if text else ""


def qualified(text: str) -> str:
    """Why it is no label's or annotation's key."""
    prefix, slash, name = text.rpartition("/")
    if slash and (why := subdomain(prefix)):
        return f"prefix part {why}"
    return _judge(name, _QUALIFIED, LABEL_LENGTH, QUALIFIED_WORDS)


def _judge(text: str, pattern: re.Pattern[str], length: int, words: str) -> str:
    if len(text) > length:
        return f"must be no more than {length} characters"
    return "" if pattern.fullmatch(text) else words


def suffix(length: int = SUFFIX_LENGTH) -> str:
    """Return the random end of a generated name."""
    return "".join(random.choices(SUFFIX_ALPHABET, k=length))  # noqa: S311  # a name, not a secret


def generated(prefix: str) -> str:
    """Return a name for ``generateName``; the prefix is cut so that the name stays a label."""
    return prefix[: LABEL_LENGTH - SUFFIX_LENGTH] + suffix()
