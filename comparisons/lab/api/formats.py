"""The string formats that a schema may ask for. A format that nobody knows asks for nothing, as on the real server.

After k8s.io/kube-openapi/pkg/validation/strfmt.
"""

import base64
import binascii
import ipaddress
import re
import urllib.parse
import uuid
from collections.abc import Callable, Mapping

from comparisons.lab import clock
from comparisons.lab.api import names

_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_DURATION = re.compile(r"-?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h|d|w))+|0|-?\d+(\.\d+)?\s*[a-z]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")


def admits(name: str, text: str) -> bool:
    """Whether a text is of the format."""
    judge = _JUDGES.get(name)
    if judge is None:
        return True
    try:
        return bool(judge(text))
    except (ValueError, binascii.Error):
        return False


def _moment(text: str) -> bool:
    clock.parse(text)
    return "T" in text.upper()


def _uri(text: str) -> bool:
    return bool(urllib.parse.urlsplit(text).scheme) or text.startswith("/")


_JUDGES: Mapping[str, Callable[[str], object]] = {
    "date-time": _moment,
    "datetime": _moment,
    "date": _DATE.fullmatch,
    "duration": _DURATION.fullmatch,
    "email": _EMAIL.fullmatch,
    "hostname": lambda text: not names.subdomain(text.lower()),
    "ipv4": lambda text: bool(ipaddress.IPv4Address(text)) or True,
    "ipv6": lambda text: bool(ipaddress.IPv6Address(text)) or True,
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_network(text, strict=False)),
    "mac": _MAC.fullmatch,
    "uuid": lambda text: str(uuid.UUID(text)) == text.lower(),
    "uri": _uri,
    "byte": lambda text: base64.b64decode(text, validate=True) is not None,
}
