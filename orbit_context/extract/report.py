"""Report templates: Jinja texts over a run's document. They come from people of a project: render them in a sandbox only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from orbit_context.extract.evaluator import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["FILE", "MAX_CHARACTERS", "check_report", "render_report"]

FILE = "<template>"
MAX_CHARACTERS = 15 * 10**6
"""Of the text that a template makes; as JSON it must fit into a sandbox's answer."""
_MAX_MESSAGE = 300


def check_report(source: str) -> bool:
    """True for good Jinja. Raises EvaluationError, with the line, for anything else."""
    _guarded(lambda: str(_environment("text").from_string(source)))
    return True


def render_report(source: str, data: Any, kind: Literal["html", "text"]) -> str:
    """The text that the template makes of `data`, whose members are its variables. In html, values are escaped.

    Raises:
        EvaluationError: it is no good Jinja, names what is not there, or does what templates may not; with the line.
    """
    if not isinstance(data, dict):
        raise EvaluationError("what a report shows is a JSON object", code="body")
    return _guarded(lambda: _text(_environment(kind).from_string(source).generate(data)))


def _text(pieces: Iterator[str]) -> str:
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > MAX_CHARACTERS:
            raise EvaluationError(f"the report has more than {MAX_CHARACTERS:,} characters", code="too_large")
    return "".join(found)


def _environment(kind: Literal["html", "text"]) -> ImmutableSandboxedEnvironment:
    from jinja2 import DictLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # autoescape is off where no markup is made: Markdown and plain text are for people and programs that do not run them.
    environment = ImmutableSandboxedEnvironment(
        autoescape=kind == "html",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        loader=DictLoader({}),
    )
    environment.globals = {
        name: environment.globals[name] for name in ("range", "dict", "namespace", "joiner", "cycler")
    }
    return environment


def _guarded(work: Callable[[], str]) -> str:
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    try:
        return work()
    except TemplateSyntaxError as error:
        raise _failure(error.message or "this is no Jinja", error.lineno) from None
    except TemplateNotFound as error:
        raise _failure(
            f"there is no template {str(error.name)[:100]!r} here: a report is one text", _line(error)
        ) from None
    except RecursionError as error:
        raise _failure("a macro calls itself too often, or the text is nested too deeply", _line(error)) from None
    except (MemoryError, EvaluationError):
        raise
    except Exception as error:  # noqa: BLE001 - a template may raise whatever its filters do
        raise _failure(str(error) or type(error).__name__, _line(error)) from None


def _failure(message: str, line: int | None) -> EvaluationError:
    place = f"line {line}: " if line else ""
    return EvaluationError(f"{place}{message[:_MAX_MESSAGE]}", code="expression")


def _line(error: BaseException) -> int | None:
    """The innermost line of the template that was at work."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == FILE:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line
