"""The commands of the mesh, as the front door knows them: each is its feature's own; here is the control plane's.

Here because ``pyproject.toml`` names one file of entry points for each program. What a command needs is imported when
it runs, so that ``ipseity --help`` stays quick and the sidecar small.
"""

import os

import click

from ipseity import settings


@click.group(name="control-plane")
def control_plane() -> None:
    """Run the mesh's control plane: identity, injection, destination, policy."""


def _run_command() -> click.Command:
    from injector import config  # noqa: PLC0415  # see above

    @click.command(name="run")
    @settings.click_options(config.Config)
    def run(**flags: object) -> int:
        """Run the control plane until SIGTERM."""
        from injector import app  # noqa: PLC0415  # grpc and the rest: 40 MB

        return app.run(settings.load(config.Config, flags, os.environ))

    return run


control_plane.add_command(_run_command())
