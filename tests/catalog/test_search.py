"""Searching tools by what they do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from catalog.making import define, taking
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.schemas import clean
from planact_server.catalog.search import rank
from planact_server.catalog.signatures import Learned

if TYPE_CHECKING:
    from planact_tools import JSONObject


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


def only(**descriptions: str) -> Catalog:
    return Catalog.build({"s": [define(name, description=text) for name, text in descriptions.items()]})


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("commit", ["git.git_commit", "git.git_log"]),
        ("EVENTS", ["calendar.list_events", "calendar.createEvent"]),
        ("attendee", ["calendar.createEvent"]),
        ("天气", ["weather.forecast", "weather.ping"]),
        ("quantum", []),
        ("the of a", []),
        ("?!", []),
    ],
)
def test_words_find_tools_the_best_first(catalog: Catalog, words: str, found: list[str]) -> None:
    assert names(catalog, words) == found


def test_the_servers_name_counts_for_its_tools(catalog: Catalog) -> None:
    assert sorted(names(catalog, "weather")[:2]) == ["weather.forecast", "weather.ping"]


def test_the_name_counts_more_than_the_description(catalog: Catalog) -> None:
    assert names(catalog, "commit")[0] == "git.git_commit"


@pytest.mark.parametrize("name", ["s.get_tweet", "get-tweet", "GET_TWEET", " get_tweet\n"])
def test_a_tool_whose_name_is_written_is_the_first(name: str) -> None:
    catalog = Catalog.build({"s": [define("get_tweet_comments"), define("get_tweets_get_tweet"), define("get-tweet")]})
    assert names(catalog, name)[0] == "s.get_tweet"


def test_other_forms_of_a_word_find_it() -> None:
    catalog = only(converter="Does it.", other="Does something else.")
    assert names(catalog, "converting") == names(catalog, "converts") == ["s.converter"]


def test_another_word_for_the_same_finds_a_tool_after_the_word_itself() -> None:
    catalog = only(delete_page="", erase_page="", make_page="")
    assert names(catalog, "erase") == ["s.erase_page", "s.delete_page"]
    assert names(catalog, "forget") == ["s.delete_page"]


def test_a_word_finds_its_translation() -> None:
    assert names(only(a="获取热门电影", b="获取天气"), "weather forecast") == ["s.b"]


@pytest.mark.parametrize("words", ["mind map", "mindmap"])
def test_it_does_not_matter_whether_words_are_written_together(words: str) -> None:
    catalog = only(draw_mindmap="", draw_mind_map="", draw_circle="")
    assert set(names(catalog, words)[:2]) == {"s.draw_mindmap", "s.draw_mind_map"}


def test_enum_values_and_nested_parameters_are_searched() -> None:
    catalog = Catalog.build(
        {
            "s": [
                taking("one", kind={"enum": ["violin", "flute"]}),
                taking("two", where={"type": "object", "properties": {"postcode": {"description": "Of the harbour."}}}),
                taking("three"),
            ]
        }
    )
    assert [names(catalog, word) for word in ("violin", "postcode", "harbour")] == [["s.one"], ["s.two"], ["s.two"]]


def test_a_path_finds_what_opens_such_files_and_a_place_to_save_what_writes() -> None:
    catalog = only(
        read_pdf="Read a PDF.",
        write_file="Write text to a file.",
        roam_root="Walk about.",
        add_slide="To a presentation.",
    )
    assert names(catalog, "what is in ~/docs/roam.pdf?", 1) == ["s.read_pdf"]
    assert names(catalog, "look at talk.pptx", 1) == ["s.add_slide"]
    assert "s.write_file" in names(catalog, "read my.pdf and save the best of it in /srv/roam.txt", 2)


def test_the_steps_of_a_request_each_find_their_tool() -> None:
    cities = {f"city_wind_and_rain_{n}": "Sun of a city." for n in range(8)}
    others = {f"measure_{n}": "Measure something." for n in range(40)}
    catalog = only(get_weather="Of a city.", **cities, **others, language="Translate the text.", letter="Print.")
    asked = "Get the weather of the city with wind, rain and sun, then translate the text, then print a letter"
    assert set(names(catalog, asked, 3)) == {"s.get_weather", "s.language", "s.letter"}


def test_tools_of_the_server_that_a_question_is_about_come_first() -> None:
    railway = [define("find_trains"), define("train_stops"), define("train_seats"), define("list_prices")]
    catalog = Catalog.build({"a_shop": [define("list_prices")], "railway": railway})
    assert names(catalog, "list the prices of train seats").index("railway.list_prices") < 2


def test_what_gives_a_required_identifier_comes_along() -> None:
    shop = [taking("cancel", orderId={}, required=("orderId",)), taking("search_orders", text={}), taking("pay")]
    assert names(Catalog.build({"shop": shop}), "cancel my purchase") == ["shop.cancel", "shop.search_orders"]


def test_what_is_only_needed_stays_behind_what_was_asked_for() -> None:
    board = [
        taking("create_issue", project_key={}, required=("project_key",)),
        taking("list_project_issues", text={}),
        taking("close"),
    ]
    assert names(Catalog.build({"board": board}), "issue") == [
        "board.create_issue",
        "board.list_project_issues",
    ]


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


def test_the_next_generation_is_searched_as_if_it_were_the_first(catalog: Catalog) -> None:
    definitions = {server.raw_name: server.definitions for server in catalog.servers.values()}
    definitions["mail"] = (define("send_mail", description="Send a commit message to a friend."),)
    rank(catalog, "commit")

    grown, fresh = Catalog.build(definitions, previous=catalog), Catalog.build(definitions)
    for words in ("commit", "event", "send a message", "weather"):
        assert names(grown, words) == names(fresh, words)
    assert "mail.send_mail" in names(grown, "commit")


def test_the_answer_is_the_same_in_every_process() -> None:
    """Sets have another order in each; a sum of floats in another order may be another sum."""
    code = """
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.search import rank
from planact_tools import ToolDefinition
words = "find read write list page file user order price city event train table chart image".split()
tools = [ToolDefinition(name=f"{a}_{b}", description=f"{b} {a} {c}", input_schema={})
         for a in words for b in words for c in words[:2] if a != b]
found = rank(Catalog.build({"s": tools}), "find a cheap journey, then book it and save the picture in x.png", limit=50)
print([tool.name for tool in found])
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, timeout=30
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    "text", ["a-" * 5_000, "/" * 5_000, "x." * 5_000, "http://" + "a." * 5_000, "A" * 10_000, ",;" * 5_000]
)
def test_no_text_is_too_much(catalog: Catalog, text: str) -> None:
    assert len(names(catalog, text * 10_000)) <= len(catalog)


def test_what_a_tool_has_returned_helps_to_find_it() -> None:
    catalog = only(query="Run a query.", lookup="Run a lookup.", export="Export a sheet.")
    seen: JSONObject = {"type": "array", "items": {"type": "object", "properties": {"temperature": {}, "wind": {}}}}
    learned = {"s.lookup": Learned(schema=clean(seen), results=3)}

    def found(words: str) -> list[str]:
        return [tool.name for tool in rank(catalog, words, returns=lambda tool: learned.get(tool.full_name))]

    assert names(catalog, "temperature") == []
    assert found("temperature") == ["lookup"]
    assert found("run for wind")[0] == "lookup"
    assert found("export a sheet")[0] == "export"
