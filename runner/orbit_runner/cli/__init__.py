"""The `orbit` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point. Errors that Orbit raises on purpose become one message and an exit code; nothing else is caught."""
    from typer.exceptions import Abort, TyperException
    from typer.exceptions import Exit as EarlyExit

    from orbit_context.errors import OrbitError
    from orbit_runner.cli.app import app
    from orbit_runner.cli.exits import Exit, of_error
    from orbit_runner.cli.messages import print_error

    try:
        sys.exit(app(standalone_mode=False))
    except OrbitError as error:
        print_error(error)
        sys.exit(of_error(error))
    except TyperException as error:
        sys.stderr.write(f"error: {error.format_message()}\n  hint: see orbit --help\n")
        sys.exit(Exit.DEFINITION)
    except EarlyExit as early:
        sys.exit(early.exit_code)
    except (KeyboardInterrupt, Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(Exit.CANCELLED)
    except BrokenPipeError:
        # The reader of standard output went away (head, less): not an error of ours, and nobody is there to be told.
        sys.stderr.close()
        sys.exit(Exit.INFRASTRUCTURE)
