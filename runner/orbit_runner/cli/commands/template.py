"""`orbit template`: a project's own reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["template"]

_name = click.argument("name", metavar="NAME")


@click.group()
def template() -> None:
    """Report templates, for `orbit show RUN --template NAME`."""


@template.command("save")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="How it is called; the file's name up to the first dot unless given.")
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice(["html", "md", "text"]),
    help="html, md or text; by the file's ending unless given.",
)
@click.option("--default", "is_default", is_flag=True, help="The project's default from now on: `--template default`.")
@options.in_project
def save(file: Path, **given: Any) -> int:
    """Check a template and keep it in the database."""
    from orbit_runner.cli.library import templates

    return templates.save(file, **given)


@template.command("list")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the templates."""
    from orbit_runner.cli.library import templates

    return templates.list_(**given)


@template.command("show")
@_name
@options.in_project
def show(name: str, **given: Any) -> int:
    """Print a template's source."""
    from orbit_runner.cli.library import templates

    return templates.show(name, **given)


@template.command("rm")
@_name
@options.in_project
def rm(name: str, **given: Any) -> int:
    """Delete a template."""
    from orbit_runner.cli.library import templates

    return templates.rm(name, **given)
