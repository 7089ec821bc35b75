"""What runs inside a sandbox's child process: evaluates one question after another until its socket closes.

A question is a header, an expression and a body; an answer is a header and JSON (see `QUESTION` and `ANSWER`). The child
trusts neither: memory is limited for the whole process, processor time for each question by a timer whose signal ends
the process, so that even a library that never returns to Python is stopped. Nothing but what is needed is imported.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
from typing import TYPE_CHECKING, Any

from orbit_context.extract.evaluation import Document, evaluate, load_engine
from orbit_context.extract.evaluator import EvaluationError

if TYPE_CHECKING:
    from orbit_context.extract.evaluation import SchemaCache
    from orbit_context.extract.evaluator import Kind

__all__ = ["ANSWER", "FINAL", "KINDS", "OK", "QUESTION", "REFUSED", "SAME_BODY", "serve"]

QUESTION = struct.Struct("!BdII")
"""Index in `KINDS`, seconds of processor time, bytes of the expression, bytes of the body or `SAME_BODY`."""
ANSWER = struct.Struct("!BI")
"""`OK`, `REFUSED` or `FINAL`, bytes of JSON: the result, or an error's code, message and hint."""
KINDS: tuple[Kind, ...] = (
    "jsonpath", "jsonpath_ng", "regex", "xpath_xml", "xpath_html", "schema", "report_html", "report_text", "report_check",
)  # fmt: skip
SAME_BODY = 0xFFFFFFFF
"""The body of the question before, which the child kept parsed."""
OK, REFUSED, FINAL = 0, 1, 2
"""`FINAL` is a refusal after which the child ends itself."""
MAX_ANSWER = 16 * 2**20
"""Bytes of JSON."""


def serve(socket: int, memory: int) -> None:
    """Answer questions from the file descriptor `socket` until it is closed, with at most `memory` bytes."""
    _limit(memory)
    document = Document(b"")
    schemas: SchemaCache = {}
    while (header := _read(socket, QUESTION.size)) is not None:
        kind_index, budget, expression_size, body_size = QUESTION.unpack(header)
        expression = _read(socket, expression_size)
        if expression is None:
            return
        try:
            if body_size != SAME_BODY:
                document = Document(b"")  # let go of the old one before the new one is read
                body = _read(socket, body_size)
                if body is None:
                    return
                document = Document(body)
            kind = KINDS[kind_index]
            load_engine(kind)
            signal.setitimer(signal.ITIMER_PROF, budget)
            status, answer = _answer(kind, expression.decode(), document, schemas)
        except MemoryError:
            document = Document(b"")
            status, answer = FINAL, b'{"code":"memory"}'
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _write(socket, ANSWER.pack(status, len(answer)))
        _write(socket, answer)
        if status == FINAL:
            return


def _limit(memory: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):  # macOS has no limit on address space
            continue


def _answer(kind: Kind, expression: str, document: Document, schemas: SchemaCache) -> tuple[int, bytes]:
    try:
        answer = _to_json(evaluate(kind, expression, document, schemas))
    except EvaluationError as error:
        return REFUSED, _to_json({"code": error.code, "message": error.message, "hint": error.hint})
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a hostile document is an answer, not a crash
        message = f"the expression cannot be evaluated on this document ({type(error).__name__})"
        return REFUSED, _to_json({"code": "expression", "message": message, "hint": None})
    if len(answer) > MAX_ANSWER:
        message = f"the expression finds more than {MAX_ANSWER // 2**20} MiB"
        return REFUSED, _to_json({"code": "too_large", "message": message, "hint": None})
    return OK, answer


def _to_json(value: Any) -> bytes:
    import orjson

    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or half a character
        import json

        return json.dumps(value).encode()


def _read(socket: int, size: int) -> bytes | None:
    """Exactly `size` bytes; None where the other end is gone."""
    first = os.read(socket, min(size, 1 << 20)) if size else b""
    if len(first) == size:
        return first
    pieces = bytearray(first)
    while len(pieces) < size:
        piece = os.read(socket, min(size - len(pieces), 1 << 20))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)


def _write(socket: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(socket, view) :]
