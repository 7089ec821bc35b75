"""`orbit.variables`: values by scope, from the whole organisation to one test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import SecretKeyError
from orbit_context.gateway.requests import given
from orbit_context.models.variables import ResolvedVariables, SavedVariables, VariableDefinition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.variables import VariableScope
    from orbit_context.seal import Sealer

__all__ = ["Variables"]


class Variables:
    """`orbit.variables`. A scope is `global` (the organisation), `business_unit`, `project`, `environment`, `suite` or `test`;
    the keywords of those names say which one, `organization` too where one belongs to several."""

    def __init__(self, gateway: Gateway, sealer: Sealer | None = None) -> None:
        self._gateway = gateway
        self._sealer = sealer

    def sealing_with(self, sealer: Sealer | None) -> Variables:
        """The same room with another key."""
        return Variables(self._gateway, sealer)

    async def resolve(self, *, names: Sequence[str] | None = None, **where: str | None) -> ResolvedVariables:
        """What a test would get: highest priority first, then the narrowest scope. `where`: organization, project, environment,
        suite, test. Raises NotFoundError."""
        return ResolvedVariables.model_validate(
            await self._gateway.call("resolve_variables", given(names=names, **where))
        )

    async def list(
        self, scope: VariableScope | None = None, *, names: Sequence[str] | None = None, after: str | None = None,
        limit: int | None = None, **where: str | None,
    ) -> list[VariableDefinition]:  # fmt: skip
        """Definitions of one scope, or of all that hold for what is named. `limit` counts names (1000), `after` is one."""
        request = given(scope=scope, names=names, after=after, limit=limit, **where)
        return [VariableDefinition.model_validate(one) for one in await self._gateway.call("list_variables", request)]

    async def set(
        self,
        scope: VariableScope,
        variables: Mapping[str, Any] | Iterable[Mapping[str, Any]] = (),
        *,
        secrets: Mapping[str, Any] | None = None,
        replace: bool = False,
        **where: str | None,
    ) -> SavedVariables:
        """Defines variables of one scope, all or none. `variables`: by name and value, or as
        {name, value?, type?, priority?, description?}; `secrets` are sealed here. `replace` deletes all others of the scope.

        Raises InvalidRequestError, NotFoundError, NotAllowedError, and SecretKeyError where there is no key to seal with.
        """
        from collections.abc import Mapping as AnyMapping

        request = given(scope=scope, **where)
        if isinstance(variables, AnyMapping):
            entries: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in variables.items()]
        else:
            entries = [dict(entry) for entry in variables]
        if secrets:
            if self._sealer is None:
                raise SecretKeyError(
                    f"{next(iter(secrets))} is secret, and there is no key to seal it with", hint="give a sealer"
                )
            # What a secret is sealed for has the name of the scope's thing, as the database spells it.
            of = (await self._gateway.call("set_variables", request | {"variables": []}))["of"]
            by_name = {entry["name"]: entry for entry in entries}
            for name, value in secrets.items():
                sealed = {
                    "value": self._sealer.seal(value, aad=f"{scope}:{of}:{name}"),
                    "secret": True,
                    "uses": names_in(value),
                }
                if name in by_name:
                    by_name[name] |= sealed
                else:
                    entries.append({"name": name, **sealed})
        answer = await self._gateway.call("set_variables", request | {"variables": entries, "replace": replace})
        return SavedVariables.model_validate(answer)

    async def delete(self, scope: VariableScope, name: str, **where: str | None) -> None:
        """Raises NotFoundError where that scope has no such variable."""
        await self._gateway.call("delete_variable", given(scope=scope, name=name, **where))


def names_in(value: Any) -> list[str]:
    """The names that templates in a value say: told with a secret, for the database cannot look into it."""
    from orbit_context.template import compile_value

    references = compile_value(value).references
    bare = {reference.root for reference in references if reference.is_bare}
    return sorted(bare | {str(r.path[0]) for r in references if r.root in ("vars", "env") and r.path})
