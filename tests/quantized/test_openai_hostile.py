"""A model server that means harm: answers without end, numbers that are none, waiting for ever. All is bounded."""

import time
from typing import Any

import anyio
import pytest

from planact_quantized import GenerateRequest, Message
from planact_quantized.openai.backend import Patience
from planact_quantized.openai.stream import EventReader
from quantized.model_server import (  # noqa: TID251 - a folder of tests
    Exchange,
    ModelServer,
    delta,
    ending,
    event,
    serving,
)
from quantized.test_openai_faults import backend, fault_of  # noqa: TID251 - a folder of tests

ASKED = GenerateRequest(messages=[Message(role="user", content="x")], max_tokens=4)
MEGABYTE = b"x" * 2**20


async def pours(exchange: Exchange) -> None:
    """Send an answer that has no end."""
    await exchange.begin("application/json")
    while True:
        await exchange.piece(MEGABYTE)


async def test_a_list_of_models_without_end_is_passed_over() -> None:
    async with serving() as server:
        server.pages["/v1/models"] = server.pages["/props"] = pours
        server.chat(lambda exchange: exchange.says("fine"))
        with anyio.fail_after(20):
            assert await text_of(server, model="tiny") == "fine"


async def test_an_error_without_end_is_quoted_and_left() -> None:
    async def chat(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 500 X\r\ncontent-length: 99999999999\r\n\r\n")
        while True:
            await exchange.send(MEGABYTE)

    async with serving() as server:
        server.chat(chat)
        with anyio.fail_after(20):
            fault, message = await fault_of(server)
    assert fault == "crashed"
    assert "failed (500): xxx" in message
    assert len(message) < 500


def test_a_line_without_end_is_read_in_linear_time() -> None:
    """Looking through the whole line at every piece took minutes, and the server answered nobody meanwhile."""
    reader = EventReader()
    began = time.perf_counter()
    for _ in range(8_000):
        assert reader.feed(b"x" * 2_000) == []
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
def test_the_pieces_of_a_line_may_be_cut_anywhere(cut: int) -> None:
    data = b'\xef\xbb\xbfdata: {"a":\r\ndata: "\xc3\xa9"}\r\n\r\ndata: 1\r\rdata: 2\n\n'
    reader = EventReader()
    found = [each for at in range(0, len(data), cut) for each in reader.feed(data[at : at + cut])]
    assert [*found, *reader.finish()] == [{"a": "é"}, 1, 2]


@pytest.mark.parametrize("tokens", ["-5", "1e999", "NaN", "true", '"8"', "null"])
async def test_a_context_that_is_no_size_is_not_known(tokens: str) -> None:
    async with serving() as server:
        server.page("/props", f'{{"default_generation_settings": {{"n_ctx": {tokens}}}}}')
        async with backend(server) as made:
            assert (await made.start()).context_tokens == 0


async def test_a_context_of_thousands_of_digits_is_not_known() -> None:
    async with serving("m") as server:
        server.page("/api/version", {"version": "0.12.0"})
        server.page("/api/show", {"parameters": f"num_ctx {'9' * 5000}"})
        server.chat(lambda exchange: exchange.says("fine"))
        assert await text_of(server) == "fine"


async def test_numbers_that_are_none_count_as_nothing() -> None:
    async with serving() as server:
        server.page("/v1/models", '{"data": [{"id": "tiny", "max_model_len": 1e999}]}')
        server.page("/version", {"version": "0.9"})
        usage = b'data: {"choices": [], "usage": {"prompt_tokens": NaN, "completion_tokens": -Infinity}}\n\n'
        server.chat(lambda exchange: exchange.streamed(delta("fine"), ending("stop"), usage))
        assert await text_of(server) == "fine"


async def test_a_name_without_end_is_shown_short_and_used_whole() -> None:
    name = "m" * 2**20
    async with serving(name) as server:
        server.chat(lambda exchange: exchange.says("fine"))
        async with backend(server) as made:
            info = await made.start()
            await made.generate(ASKED)
        server.chat(lambda exchange: exchange.answer(404, {"error": "no such model"}))
        _, message = await fault_of(server)
    assert info.model == f"{'m' * 199}…"
    assert server.chats[0].body["model"] == name
    assert len(message) < 1_000


@pytest.mark.parametrize("wait", ["nan", "0", "-1"])
async def test_a_server_that_stays_busy_is_asked_a_few_times_only(wait: str) -> None:
    async with serving() as server:
        server.chat(lambda exchange: exchange.answer(429, {"error": "busy"}, retry_after=wait))
        fault, message = await fault_of(server, patience=Patience(busy=0.35))
        assert 1 <= len(server.chats) <= 4
    assert fault == "refused"
    assert "has too much to do (429)" in message


async def test_what_drips_after_the_end_of_a_text_delays_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.openai.writing.TAIL_SECONDS", 0.2)

    async def chat(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(delta("fine") + ending("stop"))
        while True:
            await exchange.piece(event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}))
            await anyio.sleep(0.02)

    async with serving() as server:
        server.chat(chat)
        with anyio.fail_after(10):
            assert await text_of(server) == "fine"


async def test_done_ends_a_text_though_the_stream_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.openai.writing.TAIL_SECONDS", 0.05)

    async def chat(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(delta("fine"))
        await exchange.piece(b"data: [DONE]\n\n")
        await anyio.sleep_forever()

    async with serving() as server:
        server.chat(chat)
        with anyio.fail_after(10):
            assert await text_of(server) == "fine"


async def test_a_text_far_beyond_its_limit_is_cut_off() -> None:
    async def chat(exchange: Exchange) -> None:
        await exchange.begin()
        for number in range(2**30):
            await exchange.piece(delta(f"{number} "))

    async with serving() as server:
        server.chat(chat)
        with anyio.fail_after(10):
            async with backend(server) as made:
                candidate = (await made.generate(ASKED)).candidates[0]
    assert (candidate.stop, len(candidate.text)) == ("length", 4 * 64)


@pytest.mark.parametrize("charset", ["hex", "rot13", "undefined", "zlib_codec", "nonsense"])
async def test_a_made_up_charset_is_no_reason_to_fail(charset: str) -> None:
    async with serving() as server:

        async def chat(exchange: Exchange) -> None:
            await exchange.answer(500, "ouch", kind=f"text/plain; charset={charset}")

        server.chat(chat)
        fault, message = await fault_of(server)
    assert (fault, "failed (500): ouch" in message) == ("crashed", True)


async def text_of(server: ModelServer, **options: Any) -> str:
    async with backend(server, **options) as made:
        return (await made.generate(ASKED)).candidates[0].text
