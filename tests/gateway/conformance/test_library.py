"""The library: data sets, report templates, preferences, searches, and what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError, SecretKeyError
from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller

KEY = generate_key()
ROWS = [{"id": 1, "name": "Ü"}, {"id": 2, "name": None}]


async def test_a_data_set_is_saved_used_and_deleted(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        first = await me.call("save_fixture", name="users", rows=ROWS, columns=["id", "name"], tags=["people"])
        assert (first["version"], first["changed"]) == (1, True)
        assert not (await me.call("save_fixture", name="users", rows=ROWS, columns=["id", "name"]))["changed"]
        assert (await me.call("get_fixture", name="users"))["rows"] == ROWS
        assert [row["name"] for row in (await me.call("list_fixtures", tags=["people"]))["rows"]] == ["users"]
        used = [{"name": "users", "version": 1, "rows": 2}]
        await me.call("save_suite", **suite({"a": []}), fixtures=used)
        (use,) = (await me.call("list_fixture_usage", name="users"))["rows"]
        assert (use["version"], use["rows_used"], use["run_id"]) == (1, 2, None)
        assert isinstance(await me.refused("delete_fixture", name="users"), ConflictError)
        await me.call("delete_fixture", name="users", force=True)
        assert isinstance(await me.refused("get_fixture", name="users"), NotFoundError)
        gone = await me.refused("save_suite", **suite({"b": []}), fixtures=used)
        assert isinstance(gone, NotFoundError)

    await gateways.tell(story, role="editor")


async def test_data_sets_that_are_none(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        for fields in (
            {"rows": []},
            {"rows": [1]},
            {"rows": {}},
            {"rows": ROWS, "columns": ["id"]},
            {"rows": ROWS, "colour": 1},
        ):
            assert isinstance(await me.refused("save_fixture", name="x", **fields), InvalidRequestError)

    await gateways.tell(story, role="editor")


async def test_a_report_template_is_saved_and_deleted(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_report_template", name="short", kind="md", source="{{ run.id }}", default=True)
        await me.call("save_report_template", name="long", kind="html", source="<p>{{ run.id }}</p>", default=True)
        listed = await me.call("list_report_templates")
        assert [(one["name"], one["is_default"]) for one in listed] == [("long", True), ("short", False)]
        assert (await me.call("get_report_template", name="default"))["name"] == "long"
        assert isinstance(
            await me.refused("save_report_template", name="x", kind="pdf", source="x"), InvalidRequestError
        )
        await me.call("delete_report_template", name="long")
        assert isinstance(await me.refused("get_report_template", name="default"), NotFoundError)

    await gateways.tell(story, role="editor")


async def test_preferences(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        assert await me.call("get_preferences") == {}
        assert await me.call("set_preferences", preferences={"theme": "dark", "rows": 20}) == {
            "theme": "dark",
            "rows": 20,
        }
        assert await me.call("set_preferences", preferences={"theme": None}) == {"rows": 20}
        assert isinstance(await me.refused("set_preferences", preferences={"theme": 1}), InvalidRequestError)
        assert isinstance(await me.refused("set_preferences", preferences={"nosuch": 1}), InvalidRequestError)

    await gateways.tell(story, role="viewer")


async def test_searches_and_lists(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        await me.call("save_search", name="all", entity="tests", filter={})
        assert [one["name"] for one in await me.call("list_searches")] == ["all"]
        first = await me.call("run_search", name="all", limit=1)
        second = await me.call("run_search", name="all", limit=1, after=first["next"])
        assert [page["rows"][0]["key"] for page in (first, second)] == ["a", "b"]
        assert (await me.call("run_search", name="all", after=second["next"]))["rows"] == []
        assert isinstance(await me.refused("run_search", entity="tests", filter={"x": 1}), InvalidRequestError)
        assert isinstance(await me.refused("run_search", entity="users"), InvalidRequestError)
        await me.call("delete_search", name="all")
        assert isinstance(await me.refused("run_search", name="all"), NotFoundError)
        assert len((await me.call("list_suites"))["rows"]) == 1
        assert [row["key"] for row in (await me.call("list_tests"))["rows"]] == ["a", "b"]
        await me.call("list_endpoints", tags=["nosuch"])

    await gateways.tell(story, role="editor")


async def test_a_viewer_writes_nothing_of_the_project(gateways: Gateways) -> None:
    someone = await gateways.person("viewer")
    assert isinstance(await someone.refused("save_fixture", name="x", rows=ROWS), NotAllowedError)
    refused = await someone.refused("save_report_template", name="x", kind="md", source="x")
    assert isinstance(refused, NotAllowedError)


async def test_credentials(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        sealed = Sealer(KEY).seal("tok", f"credential:{me.account.id}:shop")
        saved = await me.gateway.call("save_credential", {"name": "shop", "type": "bearer", "secret": sealed})
        assert saved["place"] == f"credential:{me.account.id}:shop"
        (listed,) = await me.call("list_credentials")
        assert (listed["name"], listed["fields"], listed["has_secret"]) == ("shop", ["token"], True)
        await me.call("save_suite", **suite({"a": []}))
        await me.call("start_run", suite="suite", credentials=["shop"])
        (used,) = await me.call("list_credentials")
        assert used["last_used_at"] is not None
        assert isinstance(await me.refused("start_run", suite="suite", credentials=["other"]), NotFoundError)
        assert isinstance(
            await me.refused("save_credential", name="x", type="basic", secret=sealed), InvalidRequestError
        )
        assert isinstance(await me.refused("save_credential", name="x", type="bearer", secret="clear"), SecretKeyError)
        await me.call("delete_credential", name="shop")
        assert isinstance(await me.refused("delete_credential", name="shop"), NotFoundError)

    await gateways.tell(story, role="editor")
