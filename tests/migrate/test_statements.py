"""Splitting SQL as the Supabase CLI does (the expected lists were written by it, version 3.1.0)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_runner.migrate import migrations
from orbit_runner.statements import split


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split(sql)]


def test_comments_belong_to_the_statement_after_them() -> None:
    assert texts("-- a;b\nselect 1; -- c\n\n/* ; */ select 2;\n-- the end") == [
        "-- a;b\nselect 1",
        "-- c\n\n/* ; */ select 2",
        "-- the end",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "select 'x;''y'",
        r"select E'a\'b;c'",
        "select $$q;q$$",
        "select $a$;$b$;$$;$a$",
        'select 1 as "a;""b"',
        "select /* outer /* inner; */ still; */ 1",
        "create function f() returns int language sql begin atomic select case when true then 1 else 2 end; end",
        "create rule r as on insert to t do also (insert into a values (1); insert into b values (2))",
        "prepare p as select $1;".rstrip(";"),
        "select a$b from t",
        "select 'backslash\\'",
    ],
)
def test_a_semicolon_inside_does_not_end_a_statement(statement: str) -> None:
    assert texts(f"{statement};\nselect 2;") == [statement, "select 2"]


def test_empty_statements_are_left_out() -> None:
    assert texts(";;  \n ; select 1 ;\n;") == ["select 1"]
    assert texts("") == []


@pytest.mark.parametrize("unfinished", ["select 'a;b", "select $$a;b", "/* a;b", 'select "a;b', "select (1;"])
def test_what_is_never_closed_is_one_statement(unfinished: str) -> None:
    """The database says what is wrong with it."""
    assert texts(unfinished) in ([unfinished], unfinished.split(";"))


def test_a_statement_knows_where_it_begins_and_what_it_is() -> None:
    sql = "select 1;\n\n-- why\n/* and */ select 2;"
    second = split(sql)[1]
    assert sql[second.offset :].startswith("-- why")
    assert second.bare == "select 2"


@given(st.text(alphabet="ab;'\"$-/*\n() E\\", max_size=40))
def test_nothing_is_lost_and_nothing_is_made_up(sql: str) -> None:
    found = split(sql)
    position = 0
    for statement in found:
        assert sql[statement.offset : statement.offset + len(statement.text)] == statement.text
        assert set(sql[position : statement.offset]) <= set("; \n")
        position = statement.offset + len(statement.text)
    assert set(sql[position:]) <= set("; \n")


def test_our_own_files_agree_with_postgres_own_parser() -> None:
    pglast = pytest.importorskip("pglast")
    for migration in migrations():
        parsed = len(pglast.parse_sql(migration.text))
        assert len([statement for statement in migration.statements if statement.bare]) == parsed, migration.path.name
