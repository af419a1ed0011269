"""What an installation says of its sidecars, as settings: the control plane's, and those of ``ipseity inject``.

Here because both must write the same patch. Leaves out what a user says of one pod: ``annotations``.
"""

import dataclasses
from typing import Final

from injector import annotations, names
from injector.sidecar import spec
from ipseity import settings

_QUANTITIES: Final = (
    "proxy_cpu_request",
    "proxy_cpu_limit",
    "proxy_memory_request",
    "proxy_memory_limit",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of one installation; annotations of a pod or namespace may say otherwise where they can."""

    proxy_image: str = settings.field("", "Image of sidecars; without one, ipseity:VERSION.", metavar="IMAGE")
    proxy_image_pull_policy: str = settings.field(
        "IfNotPresent", "When the image is pulled.", choices=tuple(annotations.PullPolicy), metavar="POLICY"
    )
    proxy_command: tuple[str, ...] = settings.field(
        ("ipseity",), "How the image starts ipseity, with commas.", metavar="WORDS"
    )
    trust_domain: str = settings.field("cluster.local", "Trust domain of all identities.", metavar="NAME")
    control_plane: str = settings.field(
        "",
        f"Name in the control plane's certificates; without one, {names.control_plane('NAMESPACE')}.",
        metavar="HOST",
    )
    identity_address: str = settings.field(
        "", f"Where sidecars get certificates; without one, there at port {names.IDENTITY_PORT}.", metavar="HOST:PORT"
    )
    discovery_address: str = settings.field(
        "",
        f"Where sidecars get their configuration; without one, there at port {names.DISCOVERY_PORT}.",
        metavar="HOST:PORT",
    )
    token_life_s: int = settings.field(
        3600, "Life of the token that a pod proves itself with, in seconds.", minimum=600, maximum=86_400
    )
    proxy_cpu_request: str = settings.field("10m", "CPU that a sidecar asks for.", metavar="QUANTITY")
    proxy_cpu_limit: str = settings.field("", "CPU that a sidecar may take at most.", metavar="QUANTITY")
    proxy_memory_request: str = settings.field("48Mi", "Memory that a sidecar asks for.", metavar="QUANTITY")
    proxy_memory_limit: str = settings.field("256Mi", "Memory that a sidecar may take at most.", metavar="QUANTITY")


def installation(options: Options, version: str, namespace: str = names.SYSTEM_NAMESPACE) -> spec.Installation:
    """Make what the patch needs. ``namespace``: the control plane's. Raises SettingError for what is no quantity."""
    host = options.control_plane or names.control_plane(namespace)
    for name in _QUANTITIES:
        _check_quantity(name, getattr(options, name))
    return spec.Installation(
        version=version,
        image=options.proxy_image or f"ipseity:{version}",
        pull_policy=annotations.PullPolicy(options.proxy_image_pull_policy),
        command=options.proxy_command,
        trust_domain=options.trust_domain,
        control_plane=host,
        identity_address=options.identity_address or f"{host}:{names.IDENTITY_PORT}",
        discovery_address=options.discovery_address or f"{host}:{names.DISCOVERY_PORT}",
        token_life_s=options.token_life_s,
        proxy=spec.Resources(
            cpu_request=options.proxy_cpu_request,
            cpu_limit=options.proxy_cpu_limit,
            memory_request=options.proxy_memory_request,
            memory_limit=options.proxy_memory_limit,
        ),
    )


def _check_quantity(name: str, text: str) -> None:
    try:
        fine = not text or annotations.quantity(text) > 0
    except ValueError:
        fine = False
    if not fine:
        raise settings.SettingError(
            settings.flag_name(name), text, "use a quantity such as 100m or 64Mi", reason="is not a quantity"
        )
