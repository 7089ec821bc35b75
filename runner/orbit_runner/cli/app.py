"""`orbit` and its commands, by name. Each is read when it is called: `orbit --help` must come at once.

click, not typer: typer builds a pydantic adapter for each option it parses, which costs a run of one test a third of its time.
"""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["app"]

_COMMANDS: dict[str, dict[str, str]] = {
    "Tests": {
        "run": "running",
        "validate": "running",
        "resume": "running",
        "rerun": "again",
        "worker": "running",
        "show": "history",
        "logs": "history",
        "compare": "again",
        "cancel": "history",
    },
    "By themselves": {"schedule": "schedule"},
    "The queue": {
        "submit": "jobs",
        "status": "jobs",
        "list": "jobs",
        "watch": "jobs",
        "queue": "jobs",
        "workers": "jobs",
        "stats": "jobs",
        "health": "jobs",
        "dead-letters": "jobs",
    },
    "Plans": {"pipeline": "pipeline"},
    "What tests are given": {
        "env": "env",
        "var": "var",
        "secret": "secret",
        "credential": "credential",
        "fixture": "fixture",
    },
    "What is kept of runs": {"search": "search", "template": "template", "prefs": "prefs"},
    "People": {
        "login": "session",
        "logout": "session",
        "whoami": "session",
        "org": "org",
        "unit": "unit",
        "project": "project",
        "access": "access",
    },
    "Oversight": {
        "audit": "audit",
        "config": "config",
        "limits": "limits",
        "token": "token",
        "agent-token": "agent_token",
    },
    "Installation": {
        "db": "db",
        "local": "local",
        "doctor": "installation",
        "version": "installation",
    },
}
"""Every command under its heading, and the module of orbit_runner.cli.commands that declares it."""

_MODULES = {name: module for commands in _COMMANDS.values() for name, module in commands.items()}


class _Application(click.Group):
    """Commands are found by name, and listed under their headings."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"orbit_runner.cli.commands.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _MODULES))
        room = formatter.width - 6 - width
        for heading, commands in _COMMANDS.items():
            rows = []
            for name in commands:
                command = self.get_command(ctx, name)
                rows.append((name.ljust(width), command.get_short_help_str(room) if command else ""))
            with formatter.section(heading):
                formatter.write_dl(rows)


@click.group(cls=_Application, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app() -> None:
    """API tests that depend on each other: run them at once, share what they capture, keep every result.

    RUN is a run's id, the beginning of one, or `last`.
    """
