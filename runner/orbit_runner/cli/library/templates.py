"""`orbit template`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import print_answer, print_rows, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import visible_block

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_context.client import Orbit
    from orbit_context.models.library import TemplateKind

__all__ = ["list_", "rm", "save", "show"]

_KINDS = {".html": "html", ".htm": "html", ".md": "md", ".txt": "text", ".text": "text"}
_ENDINGS = (".j2", ".jinja", ".jinja2")


def save(file: Path, *, name: str | None, kind: str | None, is_default: bool, as_json: bool, **given: Any) -> Exit:
    from orbit_context.suite.yaml import read_text

    source = read_text(file, max_bytes=262_144)
    plain = file.name
    for ending in _ENDINGS:
        plain = plain.removesuffix(ending)
    kind = kind or _KINDS.get("." + plain.rpartition(".")[2].lower())
    if kind is None:
        raise DefinitionError(
            "what it makes is not to be seen from its name", file=str(file), hint="Give --kind html, md or text."
        )

    async def ask(orbit: Orbit) -> str:
        from orbit_runner.cli.library.rendering import check_template

        await check_template(source, file=str(file))
        called = name or file.name.split(".", 1)[0]
        return await orbit.report_templates.save(
            called, cast("TemplateKind", kind), source, default=is_default or None, **given
        )

    saved = asking(ask)
    return told({"name": saved, "kind": kind}, f"saved {saved} ({kind})", as_json=as_json)


def list_(*, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.report_templates.find(**given))
    return print_rows(
        [one.model_dump(mode="json" if as_json else "python", exclude={"source"}) for one in found],
        ("project", "name", "kind", "default", "bytes", "updated_at"),
        as_json=as_json,
        nothing="no report template; keep one: orbit template save FILE",
        shown=lambda row: {"default": row["is_default"]},
    )


def show(name: str, *, as_json: bool, **given: Any) -> Exit:
    template = asking(lambda orbit: orbit.report_templates.get(name, **given))
    if as_json:
        return print_answer(template)
    sys.stdout.write(visible_block(template.source or ""))
    return Exit.PASSED


def rm(name: str, *, as_json: bool, **given: Any) -> Exit:
    gone = asking(lambda orbit: orbit.report_templates.delete(name, **given))
    return told({"name": gone.name, "kind": gone.kind}, f"deleted {gone.name}", as_json=as_json)
