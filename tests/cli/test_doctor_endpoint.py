"""What doctor says about a model server that plans: it is asked, briefly, and what to do is said where it is not."""

import asyncio
import json
import time
from typing import Any

import anyio
import pytest

from planact_server.cli import doctor_endpoint
from planact_server.cli.doctor_endpoint import examine_endpoint
from planact_server.config import Config
from planact_server.config.schema import PlannerSettings
from planact_testing import Home
from quantized.model_server import Exchange, serving  # noqa: TID251 - a folder of tests

FAR = "http://192.0.2.1:9/v1"
"""Kept for documentation: nobody is there."""


async def says(url: str | None, tmp_path: Any, **planner: Any) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    settings = PlannerSettings(backend="openai", base_url=url, **planner)
    with anyio.fail_after(20):
        findings, report = await asyncio.to_thread(examine_endpoint, Config(state=tmp_path, planner=settings))
    assert {each.subject for each in findings} <= {"planner"}
    return [(each.level, each.text, each.advice) for each in findings], report


async def test_a_server_that_answers_is_shown_with_what_it_can_do(tmp_path) -> None:
    async with serving("dria") as server:
        props = {"default_generation_settings": {"n_ctx": 8192}, "build_info": "b9000", "model_path": "/m/dria.gguf"}
        server.page("/props", props)
        found, report = await says(server.url, tmp_path, model="dria")
    assert found == [
        (
            "ok",
            f"dria at {server.url} answers (llama-server b9000, context 8,192, holds plans to the grammar)",
            "",
        )
    ]
    assert report == {
        "backend": "openai",
        "base_url": server.url,
        "leaves_this_machine": False,
        "reachable": True,
        "model": "dria",
        "model_found": True,
        "models": ["dria"],
        "context_tokens": 8192,
        "grammar": True,
        "extras": {"runtime": "llama-server", "build": "b9000", "file": "dria.gguf"},
    }
    assert server.chats == [], "nothing is written for it"


async def test_without_a_name_the_model_that_would_be_used_is_shown(tmp_path) -> None:
    async with serving("first", "second") as server:
        found, report = await says(server.url, tmp_path)
    assert found[0][1].startswith(f"first at {server.url} answers (context unknown, plans are checked after")
    assert (report["model"], report["model_found"]) == ("first", True)


async def test_a_model_that_the_server_does_not_have_is_a_problem_with_a_line_to_paste(tmp_path) -> None:
    async with serving("first", "second") as server:
        [(level, text, advice)], report = await says(server.url, tmp_path, model="thrid")
    assert (level, report["reachable"], report["model_found"]) == ("problem", True, False)
    assert text.endswith("has no model 'thrid'; it has: first, second")
    assert advice == '[planner]\nmodel = "first"'


@pytest.mark.parametrize(
    ("page", "body", "named", "level"),
    [
        ("/api/version", {"version": "0.9"}, "dria", "ok"),  # Ollama lists dria:latest
        ("/props", {"default_generation_settings": {}}, "any-name", "note"),  # one model, whatever it is called
    ],
)
async def test_names_are_compared_as_the_runtime_does(tmp_path, page, body, named, level) -> None:
    async with serving("dria:latest") as server:
        server.page(page, body)
        found, _ = await says(server.url, tmp_path, model=named)
    assert [each[0] for each in found] == [level]


async def test_a_server_without_a_list_is_reached_and_its_model_is_not_known(tmp_path) -> None:
    async with serving() as server:
        del server.pages["/v1/models"]
        [(level, text, _)], report = await says(server.url, tmp_path, model="m")
    assert (level, report["reachable"], report["model_found"]) == ("note", True, None)
    assert text.endswith("it lists no models, so whether it has this one shows with the first task")


async def test_where_nothing_answers_it_is_said_what_to_do(tmp_path) -> None:
    async with serving() as server:
        url = server.url
    [(level, text, advice)], report = await says(url, tmp_path, model="m")
    assert (level, report["reachable"]) == ("problem", False)
    assert text.startswith(f"Nothing answers at {url}")
    assert text.endswith("Start the model server, or correct `base_url`.")
    assert advice.startswith(f"curl -m 3 {url}/models ")


async def test_a_server_that_hangs_is_not_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(doctor_endpoint, "SECONDS", 0.2)

    async def hangs(exchange: Exchange) -> None:
        await anyio.sleep_forever()

    async with serving() as server:
        server.pages["/v1/models"] = hangs
        began = time.monotonic()
        [(level, text, _)], report = await says(server.url, tmp_path, model="m")
    assert time.monotonic() - began < 3
    assert (level, report["reachable"]) == ("problem", False)
    assert "sent no list of models within 0.2 s" in text


async def test_a_refusal_is_shown_without_the_key(tmp_path) -> None:
    async with serving() as server:
        server.page("/v1/models", {"error": {"message": "bad key sk-secret"}}, status=401)
        [(level, text, _)], report = await says(server.url, tmp_path, model="m", api_key="sk-secret")
    assert (level, report["reachable"]) == ("problem", True)
    assert "refused access (401)" in text
    assert "sk-secret" not in f"{text}{report}"


@pytest.mark.parametrize("url", ["ftp://models.example", None])
async def test_an_address_that_is_none_is_not_asked(tmp_path, url) -> None:
    [(level, _, advice)], report = await says(url, tmp_path, model="m")
    assert (level, "reachable" in report) == ("problem", False)
    assert advice == '[planner]\nbase_url = "http://localhost:8080/v1"'


async def test_a_server_elsewhere_is_named_as_such_and_its_password_is_not_shown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(doctor_endpoint, "SECONDS", 0.2)
    found, report = await says(FAR.replace("//", "//me:secret@"), tmp_path, model="m")
    assert [each[0] for each in found] == ["problem", "note"]
    assert found[1][1] == "tasks and the tools' descriptions leave this machine, for 192.0.2.1"
    assert (report["base_url"], report["leaves_this_machine"]) == (FAR, True)
    assert "secret" not in f"{found}{report}"


async def test_the_command_fails_where_the_server_is_not_there_and_says_so_as_json(home: Home) -> None:
    async with serving() as server:
        home.configure(f'[planner]\nbackend = "openai"\nbase_url = "{server.url}"\n')
    (home.folder / "mcp.json").write_text('{"mcpServers": {}}')
    code, out, _ = await home.run("doctor", "--json")
    assert (code, json.loads(out)["planner"]["reachable"]) == (1, False)
