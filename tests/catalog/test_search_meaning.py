"""Searching with an embedding model: real HTTP to a server of the test."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from catalog.embedding_server import EmbeddingServer, embedding_server
from catalog.making import define
from planact_server.assembly import ranker_of
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.ranking import WordsRanker
from planact_server.config import ConfigError, SearchSettings, load_config
from planact_server.meaning.client import OpenAIEmbedder
from planact_server.meaning.ranker import REST_SECONDS, EmbeddingError, FusedRanker, MeaningRanker
from planact_testing import Home, workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = {
    "bank": [define("transfer", description="Move euros."), define("bill", description="Write an invoice.")],
    "farm": [define("feed", description="For a dog.")],
    "air": [define("umbrella", description="Say what the sky does.")],
}


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as served:
        yield served


class Clock:
    """A time that stands still until the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def names(ranker: MeaningRanker | FusedRanker, words: str, *, tools: object = TOOLS, limit: int = 10) -> list[str]:
    return [tool.full_name for tool in ranker.rank(Catalog.build(tools), words, limit=limit)]  # type: ignore[arg-type]


def meaning(server: EmbeddingServer, **more: float) -> MeaningRanker:
    return MeaningRanker(OpenAIEmbedder(server.url), **more)


def test_tools_are_ranked_by_what_they_mean_where_no_word_is_the_same(server: EmbeddingServer) -> None:
    assert names(meaning(server), "wealth")[:2] == ["bank.bill", "bank.transfer"]
    assert names(meaning(server), "pets")[0] == "farm.feed"
    assert names(meaning(server), "outside", limit=1) == ["air.umbrella"]


def test_a_tool_is_sent_once_and_again_when_it_has_changed(server: EmbeddingServer) -> None:
    ranker = meaning(server)
    names(ranker, "wealth")
    names(ranker, "pets")
    assert len(server.texts) == 4 + 2
    names(ranker, "pets", tools={**TOOLS, "farm": [define("feed", description="For a cat.")]})
    assert [text.partition("\n")[0] for text in server.texts[6:]] == ["farm feed: For a cat.", "pets"]


def test_many_tools_are_sent_in_several_requests(server: EmbeddingServer) -> None:
    tools = {"s": [define(f"t{number}", description=f"Number {number}.") for number in range(70)]}
    assert len(names(meaning(server), "x", tools=tools, limit=100)) == 70
    assert [len(request["input"]) for request in server.asked] == [32, 32, 6, 1]


def test_model_and_key_are_sent_where_they_are_configured(server: EmbeddingServer) -> None:
    settings = SearchSettings(base_url=f"{server.url}/v1", model="tiny", api_key="secret")
    ranker_of(settings).rank(Catalog.build(TOOLS), "wealth")
    assert {request["model"] for request in server.asked} == {"tiny"}
    assert set(server.keys) == {"Bearer secret"}
    assert "secret" not in repr(settings)


def test_both_rankings_count(server: EmbeddingServer) -> None:
    tools = {**TOOLS, "shop": [define("wealth_report", description="A report.")]}
    found = names(FusedRanker(WordsRanker(), meaning(server)), "wealth", tools=tools, limit=3)
    assert found[0] == "shop.wealth_report"
    assert set(found[1:]) == {"bank.bill", "bank.transfer"}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"out of memory", "answers 500 where it has embeddings: b'out of memory'"),
        (404, b"", "has no page for embeddings. Is an embedding model loaded there?"),
        (200, b"<html>", "does not answer with one vector for each of"),
        (200, b'{"data": [{"index": 0, "embedding": [1, 2]}]}', "does not answer with one vector for each of"),
        (200, b'{"data": [{"index": 0, "embedding": [1, NaN]}]}', "does not answer with one vector for each of"),
        (200, b'{"data": [{"index": 0, "embedding": ["1"]}]}', "does not answer with one vector for each of"),
        (200, b"[" * 100_000, "does not answer with one vector for each of"),
    ],
)
def test_an_answer_that_is_none_is_an_error_that_names_the_server(
    server: EmbeddingServer, status: int, body: bytes, said: str
) -> None:
    server.answer = lambda _: (status, body)
    with pytest.raises(EmbeddingError) as caught:
        OpenAIEmbedder(server.url).embed(["a", "b"], seconds=5)
    assert str(caught.value).startswith(f"{server.url}/v1 ")
    assert said in str(caught.value)


def test_without_vectors_the_words_find_tools_and_the_server_is_left_alone_for_a_while(
    server: EmbeddingServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock, well = Clock(), server.answer
    ranker = FusedRanker(WordsRanker(), MeaningRanker(OpenAIEmbedder(server.url), clock=clock))
    server.answer = lambda _: (503, b"loading")
    assert names(ranker, "invoice") == names(ranker, "invoice") == ["bank.bill"]
    assert (len(server.asked), len(caplog.records)) == (1, 1)

    server.answer = well
    clock.now += REST_SECONDS
    assert names(ranker, "invoice")[:2] == ["bank.bill", "bank.transfer"]


def test_nobody_listening_is_no_vectors() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ranker = MeaningRanker(OpenAIEmbedder(f"127.0.0.1:{taken.getsockname()[1]}"))
        assert names(ranker, "wealth") == []


def test_a_search_stops_waiting_and_the_next_one_goes_on(server: EmbeddingServer) -> None:
    clock, well = Clock(), server.answer

    def slow(request: dict[str, object]) -> tuple[int, bytes]:
        clock.now += 3
        return well(request)

    server.answer = slow
    tools = {"s": [define(f"t{number}", description=f"Number {number}.") for number in range(90)]}
    ranker = MeaningRanker(OpenAIEmbedder(server.url), seconds=5, clock=clock)
    assert names(ranker, "x", tools=tools) == []
    assert len(names(ranker, "x", tools=tools)) == 10
    assert [len(request["input"]) for request in server.asked] == [32, 32, 26, 1]


def test_another_model_behind_the_same_address_is_noticed(server: EmbeddingServer) -> None:
    clock, well = Clock(), server.answer
    ranker = MeaningRanker(OpenAIEmbedder(server.url), clock=clock)
    assert names(ranker, "pets")[0] == "farm.feed"

    def wider(request: dict[str, object]) -> tuple[int, bytes]:
        answer = json.loads(well(request)[1])
        return 200, json.dumps(
            {"data": [{**row, "embedding": [*row["embedding"], 0]} for row in answer["data"]]}
        ).encode()

    server.answer = wider
    assert names(ranker, "pets") == []
    clock.now += REST_SECONDS
    assert names(ranker, "pets")[0] == "farm.feed"


def test_no_words_ask_nobody(server: EmbeddingServer) -> None:
    fused = FusedRanker(WordsRanker(), meaning(server))
    assert names(fused, " ", limit=2) == ["air.umbrella", "bank.bill"]
    assert server.asked == []


def test_without_an_address_there_is_no_embedding_model() -> None:
    assert isinstance(ranker_of(SearchSettings()), WordsRanker)


def test_an_address_on_another_host_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "planact.toml"
    file.write_text('[search]\nbase_url = "https://example.com/v1"', encoding="utf-8")
    with pytest.raises(ConfigError, match="on this machine"):
        load_config(config_file=file, environ={"PLANACT_HOME": str(tmp_path)}, cwd=tmp_path)


async def test_plans_and_people_search_with_it(server: EmbeddingServer, home: Home) -> None:
    home.configure(f'[search]\nbase_url = "{server.url}"\n', workshop=workshop())
    _, plain, _ = await home.run("tools", "search", "money", "--json")
    plan = 'search_tools("money", limit=3)'
    _, answer, _ = await home.run("run", "--code", "-", "--json", stdin=plan)
    assert len(json.loads(plain)) == 8
    assert len(json.loads(answer)["result"]) == 3
    assert server.texts.count("money") == 2
