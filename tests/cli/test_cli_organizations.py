"""`--org`: whose suites, environments and runs a command means, where somebody works for several organisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.target import Target


async def test_a_run_of_an_organisation_is_theirs(orbit: OrbitCommand, target: Target) -> None:
    for slug in ("acme", "other"):
        assert (await orbit("org", "create", slug.title(), "--slug", slug)).code == 0
    environment = orbit.write("staging.yaml", f"environment: staging\nvariables: {{base_url: '{target.url('')}'}}\n")
    saved = await orbit("env", "save", str(environment), "--org", "acme", "--json")
    assert saved.json == {"name": "staging", "variables": 1, "secrets": 0}, saved.stderr
    users = orbit.write("users.csv", "name\nada\n")
    assert (await orbit("fixture", "add", str(users), "--org", "acme")).code == 0
    tests = {"hello": {"request": "{{base_url}}/text?is={{row.name}}", "data": {"fixture": "users"}}}
    suite = orbit.suite(tests)
    assert (await orbit("validate", suite, "--var", "base_url=x", "--org", "acme")).code == 0
    assert (await orbit("validate", suite, "--var", "base_url=x", "--org", "other")).code == 4

    done = await orbit("run", suite, "--env", "staging", "--json", ORBIT_ORGANIZATION="acme")
    assert done.code == 0, done.stderr
    [run] = (await orbit("show", "--org", "acme", "--json")).json
    assert run["id"] == done.json["run"]["id"]
    assert (await orbit("show", "--org", "other", "--json")).json == []
    assert "no run yet" in (await orbit("show", "--org", "other")).stdout

    elsewhere = await orbit("run", suite, "--env", "staging", "--org", "other")
    assert elsewhere.code == 4, elsewhere.stderr
    assert len(target.requests) == 1
