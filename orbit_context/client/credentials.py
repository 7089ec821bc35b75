"""`orbit.credentials`: what the person at the keyboard signs in with to the systems they test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.models.library import ApiCredential, SavedCredential

if TYPE_CHECKING:
    from datetime import datetime

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.library import CredentialType
    from orbit_context.seal import Sealer

__all__ = ["Credentials"]


class Credentials:
    """`orbit.credentials`

    With a `sealer`, the secret part is sealed before it is sent. Without one it is sent as it is, and the database seals it: it
    needs a key in its Vault for that, or one in `key`.
    """

    def __init__(self, gateway: Gateway, sealer: Sealer | None = None) -> None:
        self._gateway = gateway
        self._sealer = sealer

    async def save(
        self,
        name: str,
        type: CredentialType,  # noqa: A002 - the word of the request
        secret: str | None = None,
        *,
        expires_at: datetime | None = None,
        key: str | None = None,
        organization: str | None = None,
        **fields: Any,
    ) -> SavedCredential:
        """Saves one of one's own, new or not; `secret` (a token, password, key or client secret) stays where None is given.

        Fields: description, username (of basic), header_name (of api_key), token_url, client_id, scopes (of oauth2_client).
        Raises InvalidRequestError, and SecretKeyError where nobody has a key.
        """
        request: dict[str, Any] = {"name": name, "type": type, **fields}
        if expires_at is not None:
            request["expires_at"] = expires_at.isoformat()
        if organization is not None:
            request["organization"] = organization
        if secret is None or self._sealer is None or key is not None:
            given = {"secret": secret, "secret_key": key}
            request |= {field: text for field, text in given.items() if text is not None}
            return SavedCredential.model_validate(await self._gateway.call("save_credential", request))
        place = await self._place(name, organization)
        for _ in range(2):
            sealed = self._sealer.seal(secret, aad=place)
            answer = SavedCredential.model_validate(
                await self._gateway.call("save_credential", request | {"secret": sealed})
            )
            if answer.place == place:
                break
            place = answer.place
        return answer

    async def _place(self, name: str, organization: str | None) -> str:
        """What the secret is sealed for, as far as one can tell from here."""
        user = (await self._gateway.call("whoami", {}))["user"]
        return f"credential:{user['id'] if user else organization or 'default'}:{name}"

    async def list(self, *, organization: str | None = None) -> list[ApiCredential]:
        """One's own, by name; never their secrets."""
        request = {} if organization is None else {"organization": organization}
        return [ApiCredential.model_validate(row) for row in await self._gateway.call("list_credentials", request)]

    async def delete(self, name: str, *, organization: str | None = None) -> None:
        """Deletes one of one's own with its secret; runs that were given it keep what they were given. Raises NotFoundError."""
        request = {"name": name} | ({} if organization is None else {"organization": organization})
        await self._gateway.call("delete_credential", request)
