"""Searching tools by what they do."""

from __future__ import annotations

import pytest

from catalog.making import define, taking
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.search import rank, tokens


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.build(
        {
            "git": [
                define("git_log", description="Show the commit history of a repository."),
                define("git_commit", description="Record changes."),
            ],
            "calendar": [
                taking("createEvent", attendees={}, start_time={}),
                define("list_events", description="All events of a day."),
            ],
            "weather": [define("forecast", description="查询天气预报"), define("ping")],
        }
    )


def names(catalog: Catalog, words: str, limit: int = 10) -> list[str]:
    return [tool.full_name for tool in rank(catalog, words, limit=limit)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("commit history", ["git.git_log", "git.git_commit"]),
        ("create an event", ["calendar.createEvent", "calendar.list_events"]),
        ("EVENTS", ["calendar.createEvent", "calendar.list_events"]),
        ("attendee", ["calendar.createEvent"]),
        ("天气", ["weather.forecast"]),
        ("weather", ["weather.forecast", "weather.ping"]),
        ("quantum", []),
        ("the of a", []),
        ("?!", []),
    ],
)
def test_words_find_tools(catalog: Catalog, words: str, found: list[str]) -> None:
    assert sorted(names(catalog, words)) == sorted(found)


def test_the_name_counts_more_than_the_description(catalog: Catalog) -> None:
    assert names(catalog, "commit")[0] == "git.git_commit"


def test_searching_says_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rank(Catalog.build({"s": [define("go")]}), "go", limit=1)
    assert caplog.records == []


def test_no_words_give_the_first_tools_by_name(catalog: Catalog) -> None:
    assert names(catalog, "  ", limit=2) == ["calendar.createEvent", "calendar.list_events"]


@pytest.mark.parametrize("limit", [-1, 0, 1, 2])
def test_the_limit_holds(catalog: Catalog, limit: int) -> None:
    assert len(names(catalog, "event", limit=limit)) == max(0, limit)


def test_equal_scores_are_ordered_by_name_however_the_servers_came() -> None:
    servers = {f"s{number}": [define("same", description="does it")] for number in range(20)}
    forward, backward = Catalog.build(servers), Catalog.build(dict(reversed(servers.items())))

    assert names(forward, "same", 20) == names(backward, "same", 20) == sorted(f"s{n}.same" for n in range(20))


@pytest.mark.parametrize("servers", [{}, {"s": []}, {"s": [define("")]}, {"s": [define("?"), define("the")]}])
def test_a_catalog_without_words_finds_nothing(servers: dict[str, list[object]]) -> None:
    assert names(Catalog.build(servers), "anything") == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getHTTPResponse2", ["get", "http", "response", "2"]),
        ("list_pull-requests.v3", ["list", "pull", "request", "v", "3"]),
        ("Categories of glasses, status", ["category", "glasse", "status"]),
        ("Öffnungszeiten für Café", ["öffnungszeiten", "für", "café"]),
        ("東京の天気 today", ["東京", "京の", "の天", "天気", "today"]),
    ],
)
def test_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert list(tokens(text)) == words
