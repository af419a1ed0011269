"""``ipseity rollout``. Registered by the project's entry points.

Here because what the command does is this feature's. What it needs is imported when it runs. Leaves out who prints
errors (``ipseity.cli``).
"""

import os

import click

from ipseity import settings


@click.group()
def rollout() -> None:
    """Move traffic to a new version step by step, and back by itself if that one is bad."""


def _run_command() -> click.Command:
    from injector.rollout import config  # noqa: PLC0415  # see above

    @click.command(name="run")
    @settings.click_options(config.Config)
    def run(**flags: object) -> int:
        """Run the controller of Canaries until SIGTERM."""
        from injector.rollout import controller  # noqa: PLC0415  # aiohttp and the rest

        return controller.run(settings.load(config.Config, flags, os.environ))

    return run


rollout.add_command(_run_command())
