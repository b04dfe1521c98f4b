"""Every way in which a model server can fail, and what is said about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from planact_quantized import BackendError, GenerateRequest, Message
from planact_quantized.openai.backend import OpenAIBackend, Patience
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
QUICK = Patience(connect=5, first_token=0.2, between=0.2, whole=5, busy=0.3)


@asynccontextmanager
async def backend(server: ModelServer, **options: Any) -> AsyncIterator[OpenAIBackend]:
    made = OpenAIBackend(**{"base_url": server.url, **options})
    try:
        with anyio.fail_after(10):
            yield made
    finally:
        await made.aclose()


async def fault_of(server: ModelServer, **options: Any) -> tuple[str, str]:
    """Return fault and message of a request that fails."""
    async with backend(server, **options) as made:
        with pytest.raises(BackendError) as caught:
            await made.generate(ASKED)
    assert server.url in caught.value.message or "base_url" in caught.value.message
    return caught.value.fault, caught.value.message.replace(str(server.port), "PORT")


async def test_nothing_answers() -> None:
    async with serving() as server:
        pass
    fault, message = await fault_of(server)
    assert fault == "unavailable"
    assert "Start the model server, or correct `base_url`." in message


@pytest.mark.parametrize(
    ("status", "body", "fault", "words"),
    [
        (401, {"error": {"message": "no key"}}, "refused", "refused access (401): no key. Set `api_key`"),
        (404, {"error": {"message": "model 'tiny' not found"}}, "model", "has no model 'tiny'"),
        (404, {"detail": "Not Found"}, "refused", "`base_url` usually ends in /v1."),
        (500, {"error": {"message": "CUDA error"}}, "crashed", "failed (500): CUDA error. Its own log says why."),
        (502, "<html>Bad gateway</html>", "crashed", "failed (502). Its own log"),
        (
            400,
            {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too many tokens"}},
            "too_long",
            "The prompt is too long for the model at",
        ),
        (400, {"object": "error", "message": "maximum context length is 10"}, "too_long", "is too long"),
        (418, {"message": "teapot"}, "refused", "said no (418): teapot."),
        (200, "<!doctype html><p>hello", "protocol", "answered with a web page"),
        (200, "pure garbage", "protocol", "answered with no JSON: 'pure garbage'"),
        (200, "", "protocol", "answered with nothing"),
        (200, {"weird": 1}, "protocol", "an object without `choices`"),
    ],
)
async def test_answers_that_are_none_say_what_to_do(status: int, body: Any, fault: str, words: str) -> None:
    async with serving() as server:
        server.page("/v1/chat/completions", body, status)
        said = await fault_of(server)
    assert said[0] == fault
    assert words in said[1]


@pytest.mark.parametrize(
    ("pieces", "fault", "words"),
    [
        ([delta("half")], "protocol", "broke off in the middle"),
        ([b"data: \xff\xfe{]\n\n"], "protocol", "no JSON"),
        ([b"data: {" + b'"a":[' * 100_000 + b"\n\n"], "protocol", "no JSON"),
        ([delta("x"), event({"error": {"message": "device lost", "code": 500}})], "crashed", "device lost"),
        ([b'error: {"code":400,"message":"n_ctx exceeded"}\n\n'], "too_long", "too long"),
        ([event({"error": "boom"})], "crashed", "in the middle of its answer: boom"),
    ],
)
async def test_streams_that_go_wrong_are_faults(pieces: list[bytes], fault: str, words: str) -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.streamed(*pieces))
        said = await fault_of(server)
    assert said[0] == fault
    assert words in said[1]


async def test_a_connection_cut_in_the_middle_is_a_fault() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(delta("half"))
            await exchange.stream.aclose()
            raise anyio.EndOfStream

        server.chat(chat)
        fault, message = await fault_of(server)
    assert fault == "protocol"
    assert "hung up in the middle of its answer" in message


@pytest.mark.parametrize("pieces", [None, [], [delta("x")], [b": ping\n\n"]])
async def test_a_server_that_hangs_runs_into_a_deadline(pieces: list[bytes] | None) -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            if pieces is not None:
                await exchange.begin()
                for piece in pieces:
                    await exchange.piece(piece)
            await until_hung_up(exchange, server)

        server.chat(chat)
        fault, message = await fault_of(server, patience=QUICK)
    assert fault == "timeout"
    assert ("no more text within 0.2 s" if pieces == [delta("x")] else "no text within 0.2 s") in message


async def test_a_server_that_hangs_at_the_list_of_models_runs_into_a_deadline() -> None:
    async with serving() as server:
        server.pages["/v1/models"] = lambda exchange: until_hung_up(exchange, server)
        fault, message = await fault_of(server, patience=Patience(models=0.2))
    assert fault == "timeout"
    assert "sent no list of models within 0.2 s. Is it still loading the model?" in message


async def test_a_text_that_never_ends_runs_into_the_deadline_of_the_whole() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            await exchange.begin()
            while True:
                await exchange.piece(delta("x"))
                await anyio.sleep(0.02)

        server.chat(chat)
        fault, message = await fault_of(server, patience=Patience(whole=0.5))
    assert fault == "timeout"
    assert "no whole answer within 0.5 s" in message


async def test_a_stream_left_open_after_its_end_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.openai.writing.TAIL_SECONDS", 0.05)
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(delta("x") + ending("stop"))
            await until_hung_up(exchange, server)

        server.chat(chat)
        async with backend(server) as made:
            assert (await made.generate(ASKED)).candidates[0].text == "x"


async def test_a_busy_server_is_asked_again_when_it_says_when() -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            if len(server.chats) < 3:
                status = 429 if len(server.chats) == 1 else 503
                await exchange.answer(status, {"error": {"message": "Loading model"}}, retry_after="0")
            else:
                await exchange.says("x")

        server.chat(chat)
        async with backend(server) as made:
            assert (await made.generate(ASKED)).candidates[0].text == "x"


async def test_a_server_that_asks_for_too_much_patience_is_given_up() -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.answer(429, {"error": {"message": "slow down"}}, retry_after="3600"))
        fault, message = await fault_of(server, patience=QUICK)
        assert len(server.chats) == 1
    assert fault == "refused"
    assert "has too much to do (429): slow down. It asks to wait 3600 s." in message


async def test_the_key_is_sent_and_never_quoted() -> None:
    key = "sk-secret-1234567890"
    async with serving() as server:
        server.page("/v1/chat/completions", {"error": {"message": f"Incorrect API key {key}"}}, 401)
        fault, message = await fault_of(server, api_key=key)
        assert server.chats[0].headers["authorization"] == f"Bearer {key}"
        assert key not in repr(OpenAIBackend(base_url=server.url, api_key=key))
    assert fault == "refused"
    assert message.endswith("refused access (401): Incorrect API key …. Set another `api_key` in [planner].")


async def test_a_key_that_no_header_can_carry_is_refused() -> None:
    async with serving() as server, backend(server, api_key="schlüssel\n") as made:
        with pytest.raises(BackendError, match="`api_key`") as caught:
            await made.start()
    assert "schl" not in caught.value.message


async def test_redirections_are_not_followed() -> None:
    """They would carry the key to another host."""
    async with serving() as server:
        server.chat(lambda exchange: exchange.answer(307, "", location="https://elsewhere.example/"))
        fault, message = await fault_of(server, api_key="k")
    assert fault == "refused"
    assert "sends us elsewhere (307): https://elsewhere.example/." in message
