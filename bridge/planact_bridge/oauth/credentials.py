"""What a login leaves behind: tokens, and what it takes to renew them. Values only."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_tools import JSONObject, JSONValue

EARLY_SECONDS = 30.0
"""A token that ends this soon is renewed first: the request takes its time too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The right to use one server, as far as an authorization server gave it."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Seconds since the epoch; None where nobody said."""

    scope: str | None = None
    token_endpoint: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    client_auth: str | None = None
    """How the client says who it is at the token endpoint: `client_secret_basic` or `client_secret_post`."""

    resource: str | None = None
    """The server that the tokens are for (RFC 8707)."""

    revocation_endpoint: str | None = None

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and time.time() > self.expires_at - EARLY_SECONDS

    def as_json(self) -> JSONObject:
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: JSONValue) -> Credentials:
        """Raises ValueError for what is none of ours."""
        if not isinstance(value, dict):
            raise ValueError("no object")
        texts = {key: each for key, each in value.items() if isinstance(each, str)}
        expires_at = value.get("expires_at")
        try:
            return cls(
                access_token=texts["access_token"],
                refresh_token=texts.get("refresh_token"),
                expires_at=float(expires_at) if isinstance(expires_at, int | float) else None,
                scope=texts.get("scope"),
                token_endpoint=texts["token_endpoint"],
                client_id=texts["client_id"],
                client_secret=texts.get("client_secret"),
                client_auth=texts.get("client_auth"),
                resource=texts.get("resource"),
                revocation_endpoint=texts.get("revocation_endpoint"),
            )
        except KeyError as missing:
            raise ValueError(f"{missing} is missing") from None
