"""What every message of the contract has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Message"]


class Message(BaseModel):
    """A request to, or an answer of, one of the database's functions. Unknown answer fields are kept out, not refused."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, defer_build=True)
