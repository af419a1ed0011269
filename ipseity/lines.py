"""A stream of bytes as lines, with a bound on how long one may be.

Here because aiohttp's own readline stops at twice its buffer, and an object of Kubernetes is longer. Leaves out what a
line is (``informer``).
"""

from collections.abc import AsyncIterator

import aiohttp

MAX_BYTES = 16 * 1024 * 1024
"""Ten times etcd's largest object: beyond it a stream is no watch."""


async def cut(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Cut a stream into lines. Raises ClientPayloadError for one that does not end.

    What follows the last newline is dropped: a line that was cut off. The resumed watch brings it again.
    """
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
        if len(rest) > MAX_BYTES:
            raise aiohttp.ClientPayloadError(f"a line of more than {MAX_BYTES} bytes")
