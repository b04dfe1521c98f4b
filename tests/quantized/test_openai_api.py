"""A model server over the OpenAI protocol: what arrives, what is asked, and every way it can fail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from planact_quantized import BackendError, BackendInfo, Candidate, GenerateRequest, Message
from planact_quantized.openai.backend import OpenAIBackend
from quantized.model_server import (  # noqa: TID251 - a folder of tests
    Exchange,
    ModelServer,
    delta,
    ending,
    event,
    serving,
    until_hung_up,
)

ASKED = GenerateRequest(messages=[Message(role="system", content="S"), Message(role="user", content="U")])


@asynccontextmanager
async def backend(server: ModelServer, **options: Any) -> AsyncIterator[OpenAIBackend]:
    made = OpenAIBackend(**{"base_url": server.url, **options})
    try:
        with anyio.fail_after(10):
            yield made
    finally:
        await made.aclose()


async def test_a_text_arrives_piece_by_piece() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            cost = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
            await exchange.streamed(delta("a"), delta("bc"), ending("stop", **cost), b"data: [DONE]\n\n")

        server.chat(chat)
        seen: list[tuple[int, str]] = []
        async with backend(server) as made:
            done = await made.generate(ASKED, watch=lambda *piece: seen.append(piece) or False)

        assert done.candidates == (Candidate(text="abc", stop="end", tokens=3),)
        assert seen == [(0, "a"), (0, "bc")]
        assert (done.usage.prompt_tokens, done.usage.evaluated_tokens, done.usage.generated_tokens) == (9, 4, 3)
        assert 0 < done.usage.seconds_to_first_token <= done.usage.seconds
        assert server.chats[0].body == {
            "model": "tiny",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
            "max_tokens": 1024,
            "temperature": 0.0,
            "seed": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        pytest.param([b": ping\n\n", delta("x"), b": ping\n\n", ending("stop")], "x", id="comments, no [DONE]"),
        pytest.param([delta("x"), b"data: [DONE]"], "x", id="no end of line, no finish_reason"),
        pytest.param([delta("x").replace(b"\n", b"\r\n"), b"data: [DONE]\r\n\r\n"], "x", id="CRLF"),
        pytest.param([delta("x").replace(b"\n", b"\r"), b"data:[DONE]\r\r"], "x", id="CR"),
        pytest.param([delta("x")[:-1] + delta("y")[:-1] + b"data: [DONE]\n"], "xy", id="no empty lines"),
        pytest.param(
            [b'event: m\nid: 1\ndata: {"choices":\ndata: [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n'],
            "x",
            id="an event of several lines",
        ),
        pytest.param(
            [event({"choices": [{"delta": {"content": [{"type": "text", "text": "x"}]}}]}), b"data: [DONE]\n\n"],
            "x",
            id="content in parts",
        ),
        pytest.param(
            [
                event({"choices": [{"delta": {"reasoning_content": "hmm", "content": None}}]}),
                event({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f"}}]}}]}),
                delta("x"),
                event({"choices": [], "usage": {"prompt_tokens": 1}}),
                b"data: [DONE]\n\n",
            ],
            "x",
            id="reasoning and tool calls are passed over",
        ),
    ],
)
async def test_streams_are_read_leniently(pieces: list[bytes], text: str) -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.streamed(*pieces))
        async with backend(server) as made:
            done = await made.generate(ASKED)
    assert [each.text for each in done.candidates] == [text]


async def test_characters_survive_any_cut_of_the_stream() -> None:
    whole = delta("é€😀") + delta("ß") + ending("stop") + b"data: [DONE]\n\n"
    async with serving() as server:
        server.chat(lambda exchange: exchange.streamed(*(bytes([byte]) for byte in whole)))
        async with backend(server) as made:
            done = await made.generate(ASKED)
    assert done.candidates[0].text == "é€😀ß"


@pytest.mark.parametrize(
    "text",
    [
        "no fence",
        "```python\na = 1\n```\nand\n```python\nb = 2\n```",
        "```python\nnever closed",
        "Only prose. Two lines.",
    ],
)
async def test_whatever_the_model_wrote_arrives_whole(text: str) -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says(*text))
        async with backend(server) as made:
            done = await made.generate(ASKED)
    assert done.candidates == (Candidate(text=text, stop="end", tokens=len(text)),)


async def test_the_length_limit_is_told_from_the_end() -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("cut of", reason="length"))
        async with backend(server) as made:
            done = await made.generate(ASKED)
    assert done.candidates[0].stop == "length"


async def test_an_answer_in_one_object_is_taken_as_well() -> None:
    async with serving() as server:
        answer = {
            "choices": [{"message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 2, "completion_tokens": 1},
        }
        server.page("/v1/chat/completions", answer)
        async with backend(server) as made:
            done = await made.generate(ASKED)
    assert done.candidates == (Candidate(text="all", stop="end", tokens=1),)


async def test_refused_fields_are_left_out_from_then_on() -> None:
    """Some servers do not stream, some know no seed, some call the limit differently."""
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            for word in ("stream_options", "seed", "max_tokens", "stream"):
                if word in exchange.body:
                    hint = ": use max_completion_tokens" if word == "max_tokens" else ""
                    await exchange.answer(400, {"error": {"message": f"{word} is not supported{hint}"}})
                    return
            await exchange.answer(200, {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]})

        server.chat(chat)
        async with backend(server) as made:
            assert (await made.generate(ASKED)).candidates[0].text == "ok"
            first = len(server.chats)
            await made.generate(ASKED)

        assert first == 5
        assert len(server.chats) == first + 1
        assert set(server.chats[-1].body) == {"model", "messages", "temperature", "max_completion_tokens"}


async def test_stop_texts_end_a_text_even_where_the_server_ignores_them() -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("one S", "TOP two", "three"))
        request = GenerateRequest(messages=ASKED.messages, stop=["1", "2", "3", "4", "STOP"])
        async with backend(server) as made:
            done = await made.generate(request)
        assert done.candidates == (Candidate(text="one ", stop="end", tokens=2),)
        assert server.chats[0].body["stop"] == ["1", "2", "3", "4"]


async def test_several_candidates_are_written_side_by_side_and_the_first_is_greedy() -> None:
    async with serving() as server:
        all_here = anyio.Event()

        async def chat(exchange: Exchange) -> None:
            if len(server.chats) == 3:
                all_here.set()
            await all_here.wait()
            await exchange.says(f"{exchange.body['seed']}")

        server.chat(chat)
        request = GenerateRequest(messages=ASKED.messages, candidates=3, temperature=0.8, seed=7)
        async with backend(server) as made:
            done = await made.generate(request)
        assert [each.text for each in done.candidates] == ["7", "8", "9"]
        assert {each.body["seed"]: each.body["temperature"] for each in server.chats} == {7: 0.0, 8: 0.8, 9: 0.8}


async def test_one_failing_candidate_ends_the_others() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            if exchange.body["seed"] == 1:
                await exchange.answer(500, {"error": {"message": "out of memory"}})
            else:
                await exchange.begin()
                await until_hung_up(exchange, server)

        server.chat(chat)
        request = GenerateRequest(messages=ASKED.messages, candidates=2, temperature=0.5)
        async with backend(server) as made:
            with pytest.raises(BackendError, match="out of memory"):
                await made.generate(request)
            await server.hung_up.wait()


async def test_a_watcher_ends_the_text_and_the_server_sees_the_connection_close() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(delta("loop "))
            await exchange.piece(delta("loop "))
            await until_hung_up(exchange, server)

        server.chat(chat)
        async with backend(server) as made:
            done = await made.generate(ASKED, watch=lambda _, piece: piece == "loop ")
            assert done.candidates == (Candidate(text="loop ", stop="watched", tokens=1),)
            await server.hung_up.wait()


async def test_what_a_watcher_raises_comes_out_as_it_is() -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("one ", "two"))
        async with backend(server) as made:
            with pytest.raises(KeyError, match="one "):
                await made.generate(ASKED, watch=lambda _, piece: {}[piece])


async def test_cancelling_closes_the_connection_on_the_server() -> None:
    async with serving() as server:
        begun = anyio.Event()

        async def chat(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(delta("x"))
            begun.set()
            await until_hung_up(exchange, server)

        server.chat(chat)
        async with backend(server) as made, anyio.create_task_group() as tasks:
            tasks.start_soon(made.generate, ASKED)
            await begun.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.hung_up.wait()


async def test_connections_are_kept_between_requests() -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("x"))
        async with backend(server) as made:
            await made.generate(ASKED)
            await made.generate(ASKED)
        assert len({each.connection for each in server.chats}) == 1


async def test_a_kept_connection_that_the_server_closed_is_no_failure() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            if len(server.chats) == 2:
                await exchange.stream.aclose()  # as if it had closed just before the request came
                raise anyio.EndOfStream
            await exchange.says("x")

        server.chat(chat)
        async with backend(server) as made:
            await made.generate(ASKED)
            assert (await made.generate(ASKED)).candidates[0].text == "x"


async def test_a_server_without_models_needs_one_configured() -> None:
    async with serving() as server:
        server.page("/v1/models", {"data": []})
        async with backend(server) as made:
            with pytest.raises(BackendError, match="lists no model"):
                await made.start()
        server.pages.pop("/v1/models")
        server.chat(lambda exchange: exchange.says("x"))
        async with backend(server, model="mine") as made:
            await made.generate(ASKED)
        assert server.chats[0].body["model"] == "mine"


async def test_what_is_known_of_a_plain_server() -> None:
    async with serving("first", "second") as server, backend(server) as made:
        info = await made.start()
        assert info == BackendInfo(kind="openai", model="first", device="127.0.0.1", candidates=8, local=True)
        assert await made.start() is info
        assert await made.count_tokens(ASKED.messages) >= 2


async def test_a_failed_start_is_tried_again() -> None:
    async with serving() as server, backend(server) as made:
        models = server.pages["/v1/models"]
        server.page("/v1/models", {"error": {"message": "who?"}}, 401)
        with pytest.raises(BackendError, match="Set `api_key`"):
            await made.start()
        server.pages["/v1/models"] = models
        assert (await made.start()).model == "tiny"


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
async def test_base_urls_are_read_as_they_were_meant(suffix: str) -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("x"))
        async with backend(server, base_url=f"127.0.0.1:{server.port}{suffix}") as made:
            assert (await made.generate(ASKED)).candidates[0].text == "x"


async def test_an_api_below_a_path_is_found() -> None:
    async with serving() as server:
        server.page("/proxy/v1/models", {"data": [{"id": "m"}]})
        server.pages["/proxy/v1/chat/completions"] = lambda exchange: exchange.says("x")
        async with backend(server, base_url=f"http://127.0.0.1:{server.port}/proxy") as made:
            assert (await made.generate(ASKED)).candidates[0].text == "x"


@pytest.mark.parametrize(
    "url", ["", "ftp://host/v1", "http://", "http://host:port/v1", "http://a\x00b/v1", "http://[::1"]
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    made = OpenAIBackend(base_url=url)
    with pytest.raises(BackendError, match="`base_url` in"):
        await made.start()
