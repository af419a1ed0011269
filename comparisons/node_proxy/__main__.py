"""``python -m comparisons.node_proxy``: one node's, until SIGTERM."""

import argparse
import asyncio
import pathlib
import sys

from comparisons.node_proxy import running


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.node_proxy", description=__doc__)
    for name in ("node", "kubeconfig", "netns", "pods", "state", "identity", "cgroup"):
        parser.add_argument(f"--{name}", required=True)
    told = parser.parse_args()
    wishes = running.Wishes(
        node=told.node,
        kubeconfig=told.kubeconfig,
        netns=pathlib.Path(told.netns),
        pods=pathlib.Path(told.pods),
        state=pathlib.Path(told.state),
        identity=told.identity,
        cgroup=told.cgroup,
    )
    sys.exit(asyncio.run(running.run(wishes)))


if __name__ == "__main__":
    main()
