"""The `orbit` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point. Errors that Orbit raises on purpose become one message and an exit code; nothing else is caught."""
    import click

    from orbit_context.errors import OrbitError
    from orbit_runner.cli.app import app
    from orbit_runner.cli.exits import Exit, of_error
    from orbit_runner.cli.messages import print_error

    try:
        sys.exit(app(standalone_mode=False))
    except OrbitError as error:
        print_error(error)
        sys.exit(of_error(error))
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.DEFINITION)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(Exit.CANCELLED)
    except BrokenPipeError:
        # The reader of standard output went away (head, less): not an error of ours, and nobody is there to be told.
        sys.stderr.close()
        sys.exit(Exit.INFRASTRUCTURE)
