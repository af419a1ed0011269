"""``python -m comparisons.lab.api --state DIR --listen 127.0.0.1:PORT``: the lab's API server as a process."""

import argparse
import asyncio
import pathlib
import signal
import sys

import structlog

from comparisons.lab import errors
from comparisons.lab.api import app, listening


def _options() -> app.Options:
    parser = argparse.ArgumentParser(prog="comparisons.lab.api", description=__doc__)
    parser.add_argument(
        "--state", type=pathlib.Path, required=True, help="directory for keys, kubeconfig and saved objects"
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="address and port; port 0 takes a free one")
    parser.add_argument(
        "--inside",
        default="",
        metavar="NAMESPACE=ADDRESS:PORT",
        help="listen in this network namespace (a path), too, where a lab's pods can come",
    )
    parser.add_argument("--history", type=int, default=4096, help="events of each kind that watches can resume from")
    parser.add_argument(
        "--no-controllers", action="store_true", help="only the API: no scheduler, no workload controllers"
    )
    parser.add_argument(
        "--rbac", action="store_true", help="roles bind: without, whoever has a token may do everything"
    )
    said = parser.parse_args()
    namespace, _, inside = said.inside.rpartition("=")
    return app.Options(
        state=said.state,
        listen=_place(parser, "--listen", said.listen),
        inside=_place(parser, "--inside", inside, pathlib.Path(namespace)) if inside else None,
        history=said.history,
        controllers=not said.no_controllers,
        rbac=said.rbac,
    )


def _place(
    parser: argparse.ArgumentParser, option: str, text: str, namespace: pathlib.Path | None = None
) -> listening.Place:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"{option} {text!r}: not of the form ADDRESS:PORT")
    return listening.Place(ip=host.strip("[]"), port=int(port), namespace=namespace)


async def _main(options: app.Options) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await app.run(options, stopped)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(_main(_options()))
    except errors.LabError as error:
        sys.stderr.write(f"comparisons.lab.api: error: {error}\nhint: {error.hint}\n")
        sys.exit(2)
