"""JSON Schema: checked when a suite is compiled, evaluated where it can be stopped.

The draft is the one `$schema` names, 2020-12 unless told. References lead inside the schema or to files that were bundled
with it; nothing is ever fetched. `format` is asserted for date, time, date-time, email, hostname, idn-email, ipv4, ipv6,
regex, uri and uuid; other formats say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError
from orbit_context.extract.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jsonschema import FormatChecker

__all__ = ["MAX_VIOLATIONS", "CompiledSchema", "bundle"]

MAX_VIOLATIONS = 20
"""Violations that are told, the most telling first."""
_MAX_LOOKED_AT = 200
_MAX_MESSAGE = 300
_BASE = "file:///"
"""Where schema files stand for each other (`file:///schemas/order.json`); only names, nothing is read through them."""


def bundle(schema: Any, path: str | None = None, load: Callable[[str], Any] | None = None) -> str:
    """A schema with everything it refers to, as JSON text for an evaluator; it was checked against its metaschema.

    Args:
        schema: an object, true or false.
        path: of the file it came from, as `load` knows it; references to other files are relative to it.
        load: reads another schema file.

    Raises:
        ExpressionError: it is no JSON Schema, or refers to what is not there. The caller sets `field`.
    """
    import json

    root = _BASE + path if path else _identifier(schema) or _BASE
    resources: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [(root, schema)]
    while waiting:
        uri, found = waiting.pop()
        if uri in resources:
            continue
        _check(found, uri)
        if (identifier := _identifier(found)) is not None:
            aliases[identifier] = uri
        resources[uri] = _placed(found, uri)
        for reference in _references(found):
            target = _resolve(uri, found, reference)
            if target is None or target in resources or target in aliases or _is_identified(resources, target):
                continue
            if not target.startswith(_BASE):
                raise ExpressionError(
                    f"the schema refers to {reference}, and nothing is fetched from the network",
                    hint="Save it beside the suite and refer to the file.",
                )
            name = target.removeprefix(_BASE)
            if load is None or not name:
                raise ExpressionError(f"the schema refers to {reference}, which is not part of it")
            try:
                waiting.append((target, load(name)))
            except (OSError, ValueError) as error:
                raise ExpressionError(f"the schema refers to {reference}, which cannot be read: {error}") from None
    return json.dumps({"root": root, "resources": resources, "aliases": aliases}, separators=(",", ":"))


def _identifier(schema: Any) -> str | None:
    """The absolute URI that a schema calls itself by."""
    from urllib.parse import urldefrag, urlsplit

    identifier = (schema.get("$id") or schema.get("id")) if isinstance(schema, dict) else None
    return urldefrag(identifier).url if isinstance(identifier, str) and urlsplit(identifier).scheme else None


def _placed(schema: Any, uri: str) -> Any:
    """`schema` as the document at `uri`: so that files find each other by where they lie, whatever they call themselves."""
    if not isinstance(schema, dict):
        return schema
    draft = str(schema.get("$schema", ""))
    is_old = any(name in draft for name in ("draft-03", "draft-04", "draft-06", "draft-07"))
    keyword = "id" if "draft-03" in draft or "draft-04" in draft else "$id"
    placed = {**schema, keyword: uri}
    if is_old and "$ref" in placed:  # there, a reference makes everything beside it mean nothing, its own place too
        placed["allOf"] = [{"$ref": placed.pop("$ref")}, *placed.get("allOf", [])]
    return placed


def _check(schema: Any, uri: str) -> None:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    name = uri.removeprefix(_BASE)
    what = f"the schema {name}" if name else "the schema"
    if not isinstance(schema, dict | bool):
        raise ExpressionError(f"{what} is not a JSON Schema: it is neither an object nor true or false")
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    validator: Any = validator_for(schema, default=Draft202012Validator)
    if dialect is not None and validator.META_SCHEMA.get("$schema", "").rstrip("#") != str(dialect).rstrip("#"):
        raise ExpressionError(f"{what} is written for {dialect!r}, which is not known", hint="Drafts 3 to 2020-12 are.")
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        message = shorten(error.message, _MAX_MESSAGE)
        raise ExpressionError(f"{what} is not a JSON Schema: at {error.json_path}, {message}") from None
    except RecursionError:
        raise ExpressionError(f"{what} is nested too deeply") from None


def _references(schema: Any) -> list[str]:
    found: list[str] = []
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                    found.append(value)
                elif key not in ("const", "enum", "default", "examples"):
                    waiting.append(value)
        elif isinstance(node, list):
            waiting += node
    return found


def _resolve(uri: str, schema: Any, reference: str) -> str | None:
    """The document that a reference names; None where it is the same one, or a metaschema."""
    from urllib.parse import urldefrag, urljoin

    if reference.startswith("#"):
        if reference.startswith("#/") and not _has_identifiers(schema) and not _lookup(schema, reference):
            raise ExpressionError(f"the schema refers to {reference}, which is not in it")
        return None
    target = urldefrag(urljoin(uri, reference)).url
    if target == uri or target.startswith(("http://json-schema.org/", "https://json-schema.org/")):
        return None
    return target


def _lookup(schema: Any, pointer: str) -> bool:
    """Whether the JSON pointer of a reference (`#/$defs/item`) leads anywhere."""
    from urllib.parse import unquote

    node = schema
    for part in unquote(pointer).removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isascii() and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return False
    return True


def _has_identifiers(schema: Any) -> bool:
    """Whether parts of the schema have a base of their own, so that `#/…` is not relative to the whole."""
    waiting: list[Any] = list(schema.values()) if isinstance(schema, dict) else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$id") or node.get("id"), str):
                return True
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return False


def _is_identified(resources: Mapping[str, Any], target: str) -> bool:
    """Whether a part of what is bundled calls itself `target` by its `$id`."""
    from urllib.parse import urljoin

    waiting: list[tuple[str, Any]] = list(resources.items())
    while waiting:
        base, node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$id"), str) and urljoin(base, node["$id"]) == target:
                return True
            waiting += [(base, value) for value in node.values()]
        elif isinstance(node, list):
            waiting += [(base, item) for item in node]
    return False


class CompiledSchema:
    """A bundle, ready to validate documents."""

    def __init__(self, text: str) -> None:
        import orjson
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for
        from referencing import Registry
        from referencing.jsonschema import specification_with

        content = orjson.loads(text)
        resources: dict[str, Any] = {}
        for uri, schema in content["resources"].items():
            dialect = schema.get("$schema") if isinstance(schema, dict) else None
            specification = specification_with(dialect or "https://json-schema.org/draft/2020-12/schema")
            resources[uri] = specification.create_resource(schema)
        resources |= {alias: resources[uri] for alias, uri in content["aliases"].items()}
        registry: Any = Registry().with_resources(resources.items()).crawl()
        root = content["resources"][content["root"]]
        validator = validator_for(root, default=Draft202012Validator)
        self._validator = validator(root, registry=registry, format_checker=_format_checker())

    def violations(self, document: Any) -> list[dict[str, Any]]:
        """What does not conform: `path` (a JSONPath), `message`, `keyword` and `schema_path`; the most telling first."""
        from itertools import islice

        from jsonschema.exceptions import best_match, relevance
        from referencing.exceptions import Unresolvable

        try:
            errors = list(islice(self._validator.iter_errors(document), _MAX_LOOKED_AT))
        except Unresolvable as error:
            raise ExpressionError(f"the schema refers to {error.ref}, which is not part of it") from None
        if not errors:
            return []
        best = best_match(errors)
        rest = sorted((error for error in errors if error is not best), key=relevance, reverse=True)
        return [_violation(error) for error in [best, *rest][:MAX_VIOLATIONS]]


def _violation(error: Any) -> dict[str, Any]:
    return {
        "path": error.json_path,
        "message": shorten(error.message, _MAX_MESSAGE),
        "keyword": error.validator,
        "schema_path": "/".join(str(part) for part in error.absolute_schema_path),
    }


def _format_checker() -> FormatChecker:
    """jsonschema's own formats, and those it leaves to packages we do not bring."""
    import re
    from datetime import datetime
    from urllib.parse import urlsplit

    from jsonschema import FormatChecker

    checker = FormatChecker(formats=("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid"))
    time = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
    full_time = re.compile(time, re.ASCII)
    full_date_time = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt]" + time, re.ASCII)
    host_name = re.compile(
        r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
    )

    def is_date_time(value: object) -> bool:
        if not isinstance(value, str):
            return True
        match = full_date_time.fullmatch(value)
        return match is not None and bool(datetime.strptime(match[1], "%Y-%m-%d"))  # noqa: DTZ007 - only whether it is one

    def is_uri(value: object) -> bool:
        if not isinstance(value, str):
            return True
        return bool(urlsplit(value).scheme) and value.isascii() and not re.search(r"[\s<>\"{}|\\^`]", value)

    checker.checks("date-time", raises=ValueError)(is_date_time)
    checker.checks("time")(lambda value: not isinstance(value, str) or full_time.fullmatch(value) is not None)
    checker.checks("hostname")(lambda value: not isinstance(value, str) or host_name.fullmatch(value) is not None)
    checker.checks("uri", raises=ValueError)(is_uri)
    return checker
