"""Reading and writing the webhook configuration.

Here because the object must say what this version of the program expects, and trust the certificate that it serves.
Leaves out what stands in it: ``configuration``.
"""

import http
import typing
from collections.abc import Mapping
from typing import Any, Final

from injector.kube import rest
from injector.webhook import configuration
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

_COLLECTION: Final = configuration.PATH.rpartition("/")[0]


async def read(api: "client.ApiClient") -> Mapping[str, Any] | None:
    """Read it; None: there is none. Raises KubernetesError."""
    return await rest.get(api, configuration.PATH)


async def write(api: "client.ApiClient", found: Mapping[str, Any] | None, rendered: configuration.Value) -> bool:
    """Make it say what was rendered; False if it does, or if somebody else was faster. Raises KubernetesError."""
    try:
        if found is None:
            await rest.create(api, _COLLECTION, rendered)
            return True
        wanted = configuration.updated(found, rendered)
        if wanted is None:
            return False
        await rest.replace(api, configuration.PATH, wanted)
    except kube.KubernetesError as error:
        if error.status != http.HTTPStatus.CONFLICT:
            raise
        return False
    return True


async def remove(api: "client.ApiClient") -> bool:
    """Delete it: from then on nothing is injected, and no pod waits for us. Raises KubernetesError."""
    return await rest.delete(api, configuration.PATH)
