from __future__ import annotations

import re
import uuid
from random import Random

import pytest

from orbit_context.template import Scope, compile_value

MOMENT = 1_769_860_800.25  # 2026-01-31T12:00:00.250Z


def render(expression: str, seed: int = 7) -> object:
    scope = Scope(clock=lambda: MOMENT, random=Random(seed))
    return compile_value("{{" + expression + "}}").render(scope)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("now()", "2026-01-31T12:00:00.250Z"),
        ("now('iso')", "2026-01-31T12:00:00.250Z"),
        ("now('unix')", 1_769_860_800),
        ("now('unix_ms')", 1_769_860_800_250),
        ("now('date')", "2026-01-31"),
        ("now('date', '+1d')", "2026-02-01"),
        ("now('unix', '-2h30m')", 1_769_860_800 - 9000),
        ("now('unix', '1w')", 1_769_860_800 + 604_800),
        ("now(offset='+90s')", "2026-01-31T12:01:30.250Z"),
        ("now('%d.%m.%Y %H:%M')", "31.01.2026 12:00"),
        ("now('iso', tz='+05:30')", "2026-01-31T17:30:00.250+05:30"),
        ("now('%H:%M %z', '', '-0800')", "04:00 -0800"),
        ("now('%Y-%m-%d %H', tz='Europe/Berlin')", "2026-01-31 13"),
        ("now('%%')", "%"),
    ],
)
def test_now(expression: str, value: object) -> None:
    assert render(expression) == value


def test_uuid_is_version_four_and_comes_from_the_random_source() -> None:
    first = render("uuid()")
    assert isinstance(first, str)
    parsed = uuid.UUID(first)
    assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, first)
    assert render("uuid()") == first
    assert render("uuid()", seed=8) != first
    template = compile_value("{{uuid()}}")
    assert len({template.render(Scope()) for _ in range(100)}) == 100


def test_random_int_reaches_both_ends_and_nothing_else() -> None:
    template = compile_value("{{random_int(-1, 1)}}")
    scope = Scope(random=Random(1))
    assert {template.render(scope) for _ in range(200)} == {-1, 0, 1}


@pytest.mark.parametrize(
    ("expression", "pattern"),
    [
        ("random_string()", "[A-Za-z0-9]{16}"),
        ("random_string(5)", "[A-Za-z0-9]{5}"),
        ("random_string(8, 'hex')", "[0-9a-f]{8}"),
        ("random_string(8, 'digits')", "[0-9]{8}"),
        ("random_string(n=3, alphabet='éx')", "[éx]{3}"),
        ("random_string(0)", ""),
        ("random_email()", r"user-[0-9a-f]{12}@example\.com"),
        ("random_email('shop.test')", r"user-[0-9a-f]{12}@shop\.test"),
        ("random_choice('a', 'b')", "a|b"),
    ],
)
def test_random_text(expression: str, pattern: str) -> None:
    rendered = render(expression)
    assert isinstance(rendered, str)
    assert re.fullmatch(pattern, rendered)


def test_random_choice_takes_values_or_one_list_and_keeps_their_types() -> None:
    template = compile_value("{{random_choice(list)}}")
    scope = Scope(vars={"list": [1, None, {"a": 2}]}, random=Random(1))
    seen = [template.render(scope) for _ in range(50)]
    assert all(any(item is value for value in scope.vars["list"]) for item in seen)
    assert {repr(item) for item in seen} == {"1", "None", "{'a': 2}"}


def test_sequences_count_for_themselves_within_one_scope() -> None:
    template = compile_value(["{{sequence()}}", "{{sequence('a')}}", "{{sequence()}}", "{{sequence('a')}}"])
    assert template.render(Scope()) == [1, 1, 2, 2]
    scope = Scope()
    assert (template.render(scope), template.render(scope)) == ([1, 1, 2, 2], [3, 3, 4, 4])
