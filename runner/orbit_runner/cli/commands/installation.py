"""`orbit doctor`, `orbit version`: what is installed, and whether it is well."""

from __future__ import annotations

import click

from orbit_runner.cli import options

__all__ = ["doctor", "version"]


@click.command()
@options.as_json
def doctor(as_json: bool) -> int:
    """Check everything Orbit stands on, and say what to do where something is wrong."""
    from orbit_runner.cli.setup.doctor import doctor as examine

    return examine(as_json=as_json)


@click.command()
@options.as_json
def version(as_json: bool) -> int:
    """Print the version."""
    from orbit_runner.cli.setup.doctor import version as print_version

    return print_version(as_json=as_json)
