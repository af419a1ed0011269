"""``python -m comparisons.lab.controllers --kubeconfig FILE``: for an API server that has no controllers."""

import argparse
import asyncio
import signal

from comparisons.lab import controllers


async def _main(kubeconfig: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with controllers.following(kubeconfig):
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="comparisons.lab.controllers", description=__doc__)
    parser.add_argument("--kubeconfig", required=True, help="how to reach the API server")
    asyncio.run(_main(parser.parse_args().kubeconfig))
