"""A page of a model server read whole, within a bound: a stranger's answer may have no end.

What is beyond the bound is left unread, so a page that is too long is no JSON and the quoted part of an error is
there all the same. Pages are UTF-8, whatever their headers claim: a made-up charset is no reason to fail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

MOST_BYTES = 16 * 1024 * 1024
"""A prompt written out by its template comes back on such a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a server answered."""

    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> object:
        """Return the JSON on it; None where there is none, or the status is not 200."""
        if self.status != 200:
            return None
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


async def fetch(http: httpx2.AsyncClient, url: str, body: object = None) -> Page:
    """Get a page, or post a body to it. Raises httpx2.RequestError."""
    async with http.stream("GET" if body is None else "POST", url, json=body) as response:
        return await read_page(response)


async def read_page(response: httpx2.Response) -> Page:
    """Read the body of an answer that has begun. Raises httpx2.RequestError."""
    found = bytearray()
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) > MOST_BYTES:
            break
    text = bytes(found[:MOST_BYTES]).decode(errors="replace")
    return Page(status=response.status_code, text=text, headers=response.headers)
