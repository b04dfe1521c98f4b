"""Pages that a person has to visit in the older era: those of an error that wants it, and the word that it is done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
from mcp_types import URL_ELICITATION_REQUIRED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from planact_bridge.errors import RequestRefused
    from planact_bridge.questions import Person
    from planact_tools import JSONObject, JSONValue

COMPLETE = "notifications/elicitation/complete"

VISIT_SECONDS = 60.0
"""How long to wait for a server to say that its pages were visited, before it is simply asked again."""

MOST_PAGES = 10
MOST_SENT = 100
"""Pages of which one connection remembers who was sent there."""


def wanted(refusal: RequestRefused) -> dict[str, JSONObject]:
    """Return the questions in URL mode that an error stands for, by their ids; nothing for every other error."""
    data = refusal.data if refusal.code == URL_ELICITATION_REQUIRED else None
    listed = data.get("elicitations") if isinstance(data, dict) else None
    pages: dict[str, JSONObject] = {}
    for page in listed[:MOST_PAGES] if isinstance(listed, list) else ():
        name = page.get("elicitationId") if isinstance(page, dict) else None
        if isinstance(page, dict) and isinstance(name, str):
            pages[name] = {**page, "mode": "url"}
    return pages


class Visits:
    """What a server has said of its pages."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, anyio.Event]] = []
        """Of each call that waits: its pages."""

        self._sent: dict[str, Person] = {}

    @contextmanager
    def awaited(self, pages: Iterable[str]) -> Generator[Callable[[], Awaitable[None]]]:
        """Listen for what is said of these pages; it may come while the person is still being asked.

        Yields what waits until all of them were visited, or long enough.
        """
        events = {page: anyio.Event() for page in pages}
        self._waiting.append(events)

        async def wait() -> None:
            with anyio.move_on_after(VISIT_SECONDS):
                for event in events.values():
                    await event.wait()

        try:
            yield wait
        finally:
            self._waiting.remove(events)

    def sent(self, question: JSONObject, person: Person) -> None:
        """Remember who is asked to visit a page, if that is what they are asked."""
        page = question.get("elicitationId")
        if question.get("mode") == "url" and isinstance(page, str):
            while len(self._sent) >= MOST_SENT:
                del self._sent[next(iter(self._sent))]
            self._sent[page] = person

    async def completed(self, server: str, page: JSONValue) -> None:
        """Note that it was visited, for every call that wanted it, and tell who was sent there."""
        if not isinstance(page, str):
            return
        for events in self._waiting:
            if page in events:
                events[page].set()
        if (person := self._sent.pop(page, None)) is not None:
            await person.visited(server, page)
