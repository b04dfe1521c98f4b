"""What runtimes offer beyond the protocol, as their own pages show it, and that none of it is needed."""

from typing import Any

import anyio
import pytest

from planact_quantized import BackendError, BackendInfo, Candidate, GenerateRequest, Grammar, Message
from planact_quantized.openai.backend import OpenAIBackend
from quantized.model_server import (  # noqa: TID251 - a folder of tests
    Exchange,
    ModelServer,
    event,
    serving,
)

MESSAGES = [Message(role="user", content="Task: ü")]
LATE = Grammar(
    text='root ::= call "\\n```" # root of the plan\ncall ::= "root()" [root]? | call2\ncall2 ::= "f()"',
    trigger="```python\n",
)


async def info_of(server: ModelServer, **options: Any) -> BackendInfo:
    made = OpenAIBackend(base_url=server.url, **options)
    try:
        with anyio.fail_after(10):
            return await made.start()
    finally:
        await made.aclose()


async def generate(server: ModelServer, grammar: Grammar | None) -> Candidate:
    made = OpenAIBackend(base_url=server.url)
    try:
        with anyio.fail_after(10):
            done = await made.generate(GenerateRequest(messages=MESSAGES, grammar=grammar, stop=["END"]))
    finally:
        await made.aclose()
    return done.candidates[0]


async def count(server: ModelServer) -> int:
    made = OpenAIBackend(base_url=server.url)
    try:
        with anyio.fail_after(10):
            return await made.count_tokens(MESSAGES)
    finally:
        await made.aclose()


def be_llama_server(server: ModelServer) -> None:
    """Answer as llama-server's own source does."""
    server.page(
        "/props",
        {
            "default_generation_settings": {"n_ctx": 8192, "params": {}},
            "total_slots": 4,
            "model_path": "C:\\models\\dria-agent-a-1.5b.Q4_K_M.gguf",
            "build_info": "b6000-abc",
        },
    )
    server.page("/apply-template", {"prompt": "<|im_start|>user\nTask: ü<|im_end|>\n<|im_start|>assistant\n"})
    server.page("/tokenize", {"tokens": list(range(13))})


async def test_llama_server_is_known_by_its_props() -> None:
    async with serving() as server:
        be_llama_server(server)
        info = await info_of(server)
        counted = await count(server)
    assert info == BackendInfo(
        kind="openai",
        model="tiny",
        device="127.0.0.1",
        context_tokens=8192,
        candidates=8,
        grammar=True,
        extras={"runtime": "llama-server", "build": "b6000-abc", "file": "dria-agent-a-1.5b.Q4_K_M.gguf"},
    )
    assert counted == 13
    assert server.asked("/tokenize")[0].body == {
        "content": "<|im_start|>user\nTask: ü<|im_end|>\n<|im_start|>assistant\n",
        "add_special": True,
        "parse_special": True,
    }


async def test_llama_server_is_given_a_late_grammar_on_its_own_page() -> None:
    async with serving() as server:
        be_llama_server(server)

        async def completion(exchange: Exchange) -> None:
            final = {"content": "", "stop": True, "stop_type": "eos", "tokens_predicted": 4, "tokens_evaluated": 20}
            await exchange.streamed(event({"content": "```python\n", "stop": False}), event(final))

        server.pages["/completion"] = completion
        done = await generate(server, LATE)

    assert done == Candidate(text="```python\n", stop="end", tokens=4)
    assert not server.chats
    assert server.asked("/completion")[0].body == {
        "model": "tiny",
        "prompt": "<|im_start|>user\nTask: ü<|im_end|>\n<|im_start|>assistant\n",
        "n_predict": 1024,
        "temperature": 0.0,
        "seed": 0,
        "stop": ["END"],
        "stream": True,
        "cache_prompt": True,
        "grammar": 'root ::= "```python\\n" behind-the-trigger\n'
        'behind-the-trigger ::= call "\\n```" # root of the plan\ncall ::= "root()" [root]? | call2\ncall2 ::= "f()"',
        "grammar_lazy": True,
        "grammar_triggers": [{"type": 2, "value": "```python\n$"}],
    }


async def test_a_grammar_from_the_start_has_no_trigger() -> None:
    async with serving() as server:
        be_llama_server(server)
        final = {"content": "{}", "stop": True, "stop_type": "limit"}
        server.pages["/completion"] = lambda exchange: exchange.streamed(event(final))
        done = await generate(server, Grammar(text='root ::= "{}"'))
        body = server.asked("/completion")[0].body
    assert done.stop == "length"
    assert body["grammar"] == 'root ::= "{}"'
    assert "grammar_lazy" not in body


async def test_a_grammar_that_llama_server_cannot_read_is_a_fault_of_its_own() -> None:
    async with serving() as server:
        be_llama_server(server)
        refusal = {"error": {"code": 400, "message": "Failed to parse grammar", "type": "invalid_request_error"}}
        server.page("/completion", refusal, 400)
        with pytest.raises(BackendError) as caught:
            await generate(server, LATE)
    assert caught.value.fault == "grammar"


async def test_a_field_that_llama_server_refuses_is_left_out_beside_a_grammar_too() -> None:
    async with serving() as server:
        be_llama_server(server)

        async def completion(exchange: Exchange) -> None:
            if "seed" in exchange.body:
                await exchange.answer(400, {"error": {"message": "seed is not supported"}})
            else:
                await exchange.answer(200, {"content": "x", "stop": True, "stop_type": "eos"})

        server.pages["/completion"] = completion
        assert (await generate(server, LATE)).text == "x"
        assert len(server.asked("/completion")) == 2


async def test_a_refusal_that_only_names_a_field_ends_the_request() -> None:
    async with serving() as server:
        be_llama_server(server)
        server.page("/completion", {"error": {"message": "the stream of seeds has a temperature"}}, 400)
        with pytest.raises(BackendError) as caught:
            await generate(server, LATE)
        assert len(server.asked("/completion")) == 4
    assert caught.value.fault == "refused"


async def test_an_old_llama_server_without_templates_is_asked_on_the_chat_page() -> None:
    async with serving() as server:
        be_llama_server(server)
        server.pages.pop("/apply-template")
        server.chat(lambda exchange: exchange.says("x"))
        assert (await generate(server, LATE)).text == "x"
        assert "grammar" not in server.chats[0].body


async def test_without_a_held_grammar_the_text_ends_where_the_model_ends_it() -> None:
    """A second block is part of the plan, and a fence may be a word of it."""
    pieces = ("```python\nf('```')\n``", "` and then\n", "```python\ng()\n```")
    async with serving() as server:
        server.chat(lambda exchange: exchange.says(*pieces))
        done = await generate(server, LATE)
    assert (done.text, done.stop) == ("".join(pieces), "end")


async def test_ollama_tells_the_context_that_a_model_really_has() -> None:
    async with serving("qwen:latest") as server:
        server.page("/api/version", {"version": "0.12.0"})
        server.page("/api/ps", {"models": []})
        server.page(
            "/api/show", {"parameters": "stop x\nnum_ctx    16384", "details": {"quantization_level": "Q4_K_M"}}
        )
        asked = await info_of(server)
        shown = server.asked("/api/show")[0].body
        server.page("/api/show", {"model_info": {"qwen2.context_length": 32768}})
        silent = await info_of(server)
        server.page("/api/ps", {"models": [{"name": "qwen:latest", "context_length": 8192}]})
        running = await info_of(server)
    assert shown == {"model": "qwen:latest"}
    assert asked.extras == {"runtime": "Ollama", "version": "0.12.0", "quantization": "Q4_K_M"}
    assert [each.context_tokens for each in (asked, silent, running)] == [16384, 4096, 8192]
    assert not asked.grammar


async def test_lm_studio_offers_the_model_that_is_loaded() -> None:
    async with serving("embedder", "idle", "loaded") as server:
        listed = [
            {"id": "embedder", "type": "embeddings", "state": "loaded"},
            {"id": "idle", "type": "llm", "state": "not-loaded", "max_context_length": 32768},
            {"id": "loaded", "type": "llm", "state": "loaded", "loaded_context_length": 4096, "quantization": "Q8_0"},
        ]
        server.page("/api/v0/models", {"data": listed})
        chosen = await info_of(server)
        configured = await info_of(server, model="idle")
    assert (chosen.model, chosen.context_tokens) == ("loaded", 4096)
    assert chosen.extras == {"runtime": "LM Studio", "quantization": "Q8_0"}
    assert (configured.model, configured.context_tokens) == ("idle", 0)


async def test_vllm_counts_tokens_itself() -> None:
    async with serving() as server:
        server.page("/v1/models", {"data": [{"id": "tiny", "max_model_len": 2048}]})
        server.page("/version", {"version": "0.11.0"})
        server.page("/tokenize", {"count": 17, "max_model_len": 2048, "tokens": []})
        info = await info_of(server)
        assert await count(server) == 17
    assert (info.context_tokens, info.extras) == (2048, {"runtime": "vLLM", "version": "0.11.0"})


async def test_llama_cpp_python_is_asked_for_one_text_at_a_time() -> None:
    """Its server drops the request that it works on when another one comes."""
    async with serving() as server:
        server.chat(lambda exchange: exchange.says("x"))
        server.page("/openapi.json", {"info": {"title": "🦙 llama.cpp Python API", "version": "0.3.36"}})
        made = OpenAIBackend(base_url=server.url)
        done = await made.generate(GenerateRequest(messages=MESSAGES, candidates=4, temperature=1.0))
        await made.aclose()
    assert [each.text for each in done.candidates] == ["x"] * 4
    assert len({each.connection for each in server.chats}) == 1


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", ["", "<html>", "[1]", {"data": 1}, {"version": 1}, {"error": "x"}])
async def test_no_odd_page_keeps_a_text_from_being_written(body: Any, status: int) -> None:
    async with serving() as server:
        for path in ("/props", "/api/version", "/api/v0/models", "/version", "/tokenize"):
            server.page(path, body, status)
        server.chat(lambda exchange: exchange.says("x"))
        assert (await generate(server, LATE)).text == "x"
        assert await count(server) > 0


async def test_a_page_that_hangs_costs_its_deadline_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.openai.extras.PROBE_SECONDS", 0.1)
    async with serving() as server:
        for path in ("/props", "/version"):
            server.pages[path] = lambda exchange: anyio.sleep_forever()
        server.chat(lambda exchange: exchange.says("x"))
        assert (await generate(server, None)).text == "x"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("0.0.0.0", True),
        ("192.168.1.5", False),
        ("models.example", False),
        ("localhost.example", False),
    ],
)
def test_only_this_machine_is_local(host: str, local: bool) -> None:
    from planact_quantized.openai.address import read_address

    assert read_address(f"http://{host}:8080/v1").local is local


def test_a_password_in_an_address_is_not_shown() -> None:
    from planact_quantized.openai.address import read_address

    address = read_address("https://me:secret@models.example/v1")
    assert address.shown == "https://models.example/v1"
    assert address.bases == ("https://me:secret@models.example/v1",)
