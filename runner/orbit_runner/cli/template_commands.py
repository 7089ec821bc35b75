"""`orbit template`: a project's own reports."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["template"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_project = click.option("--project", metavar="NAME", help="The project; your preferred one, else `default`.")
_name = click.argument("name", metavar="NAME")


@click.group()
def template() -> None:
    """Report templates of a project, in Jinja: `orbit show RUN --template NAME`."""


@template.command("save")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", help="How it is called; the file's name up to the first dot unless given.")
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice(["html", "md", "text"]),
    help="html, md or text; by the file's ending unless given.",
)
@click.option("--default", "is_default", is_flag=True, help="The project's default from now on: `--template default`.")
@_project
@_json
def save(file: Path, name: str | None, kind: str | None, is_default: bool, project: str | None, as_json: bool) -> int:
    """Check a template and keep it in the database."""
    from orbit_runner.cli import library

    return library.save_template(file, name, kind, is_default=is_default, project=project, as_json=as_json)


@template.command("list")
@click.option("--project", metavar="NAME", help="Of this project; of all that you see unless given.")
@_json
def list_(project: str | None, as_json: bool) -> int:
    """List the templates."""
    from orbit_runner.cli import library

    return library.list_templates(project, as_json=as_json)


@template.command("show")
@_name
@_project
@_json
def show(name: str, project: str | None, as_json: bool) -> int:
    """Print a template's source."""
    from orbit_runner.cli import library

    return library.show_template(name, project, as_json=as_json)


@template.command("rm")
@_name
@_project
@_json
def rm(name: str, project: str | None, as_json: bool) -> int:
    """Delete a template."""
    from orbit_runner.cli import library

    return library.delete_template(name, project, as_json=as_json)
