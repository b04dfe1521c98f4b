"""`planact eval dpab` from the file to the figures, with ready plans and with a model server."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evaluation.making import row, write
from planact_server.cli import main
from planact_testing import Home
from quantized.model_server import Exchange, ModelServer, serving  # noqa: TID251 - a folder of tests

GOOD = 'p = price("tea")'
ROWS = [row(functions=["price"], values=[0.3], query=f"Task {number}") for number in range(3)]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    return write(tmp_path / "benchmark.jsonl", *ROWS)


def plans(folder: Path, *texts: str) -> Path:
    path = folder / "plans.jsonl"
    path.write_text("\n".join(json.dumps({"row": number, "plan": text}) for number, text in enumerate(texts)))
    return path


def run(*arguments: str) -> int:
    """Run one command in this process."""
    return main(["eval", "dpab", *arguments])


def use(home: Home, server: ModelServer) -> None:
    (home.folder / "planact.toml").write_text(f'[planner]\nbackend = "openai"\nbase_url = "{server.url}"\n')


@pytest.fixture(autouse=True)
def _own_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLANACT_HOME", "PLANACT_CONFIG", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, home.environment[name])
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(home.work)


def test_ready_plans_are_judged_and_the_rest_counts_as_nothing(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(str(benchmark), "--plans", str(plans(tmp_path, GOOD, "p = price('')")), "--json")
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert [(each["row"], each["status"], each["published"]["strict"]) for each in answer["results"]] == [
        (0, "ok", 1),
        (1, "error", 0),
        (2, "no_plan", 0),
    ]
    assert answer["summary"]["published"] == {"strict": 33.33, "mean": 33.33}
    assert answer["summary"]["observed"] == {"strict": 33.33, "mean": 33.33}


def test_people_see_what_was_missed_and_the_figures(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(str(benchmark), "--plans", str(plans(tmp_path, GOOD, GOOD, "1 / 0")))
    out, err = capsys.readouterr()
    assert (code, out) == (0, "")
    assert "2    0.00       0.00      error   ZeroDivisionError: division by zero" in err
    assert "published  strict  66.67 %   mean  66.67 %" in err


def test_an_interrupted_evaluation_goes_on_where_it_was(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.jsonl"
    arguments = [str(benchmark), "--plans", str(plans(tmp_path, GOOD, GOOD, GOOD)), "--out", str(kept)]
    run(*arguments, "--limit", "2")
    before = kept.read_text()
    kept.write_text(before + '{"row": 2, "item"')  # killed while it wrote
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["summary"]["items"] == 3
    assert kept.read_text().startswith(before)
    assert len(kept.read_text().splitlines()) == 4


def test_results_that_are_there_are_never_written_anew(benchmark: Path, tmp_path: Path) -> None:
    """A process that is killed while it begins loses nothing. Half a character at the end is taken away."""
    kept = tmp_path / "results.jsonl"
    arguments = [str(benchmark), "--plans", str(plans(tmp_path, GOOD)), "--out", str(kept), "--limit", "1"]
    assert run(*arguments) == 0
    before = kept.read_text()
    kept.write_bytes(before.encode() + "é".encode()[:1])
    assert run(*arguments) == 0
    assert kept.read_text() == before
    os.utime(kept, (1, 1))
    assert run(*arguments) == 0
    assert kept.stat().st_mtime == 1


def test_a_plan_may_hold_what_python_takes_for_a_line_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "Buy\u2028tea\x85."
    file = tmp_path / "benchmark.jsonl"
    file.write_text(json.dumps(row(functions=["price"], values=[0.3], query=query), ensure_ascii=False))
    ready = tmp_path / "plans.jsonl"
    ready.write_text(json.dumps({"row": 0, "plan": f"{GOOD}\nnote = '\u2028\x85'"}, ensure_ascii=False))
    arguments = [str(file), "--plans", str(ready), "--out", str(tmp_path / "results.jsonl"), "--json"]
    assert (run(*arguments), run(*arguments)) == (0, 0)
    first, _, second = capsys.readouterr().out.partition("\n}\n")
    assert json.loads(f"{first}}}") == json.loads(second)
    assert json.loads(second)["summary"]["published"] == {"strict": 100.0, "mean": 100.0}


def test_results_of_other_plans_are_not_mixed(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.jsonl"
    run(str(benchmark), "--limit", "1", "--out", str(kept), "--plans", str(plans(tmp_path, GOOD)))
    before = kept.read_text()
    assert run(str(benchmark), "--out", str(kept), "--plans", str(plans(tmp_path, "p = 1"))) == 2
    assert "holds the results of another evaluation" in capsys.readouterr().err
    assert kept.read_text() == before


async def test_a_model_is_asked_as_published(home: Home, benchmark: Path, cold: bool) -> None:
    async with serving() as server:
        use(home, server)
        server.chat(lambda exchange: exchange.says("Step by step.\n```python\n", GOOD, "\n```"))
        code, out, _ = await home.run("eval", "dpab", str(benchmark), "--limit", "1", "--json", cold=cold)
        body = server.chats[0].body
    answer = json.loads(out)
    assert code == 0
    assert answer["summary"]["plans"] == {"from": "published", "model": "tiny"}
    assert answer["results"][0]["plan"] == f"\n{GOOD}\n"
    assert answer["results"][0]["published"]["strict"] == 1
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"].endswith("Avoid mutating variables whenever possible. ")
    assert body["messages"][1]["content"] == "Task 0"
    assert body["temperature"] == 0


@pytest.mark.check
async def test_the_planner_repairs_what_the_published_protocol_takes_as_it_is(home: Home, benchmark: Path) -> None:
    async with serving() as server:
        use(home, server)

        async def chat(exchange: Exchange) -> None:
            first = len(exchange.body["messages"]) == 2
            await exchange.says(f"```python\n{'p = price(1 / 0)' if first else GOOD}\n```")

        server.chat(chat)
        arguments = ["eval", "dpab", str(benchmark), "--limit", "1", "--json", "--protocol"]
        published = json.loads((await home.run(*arguments, "published"))[1])
        planned = json.loads((await home.run(*arguments, "planner"))[1])
    assert [each["observed"]["strict"] for each in published["results"]] == [0]
    assert [each["observed"]["strict"] for each in planned["results"]] == [1]
    assert planned["results"][0]["attempts"] == 2


@pytest.mark.check
async def test_a_server_that_is_not_there_ends_the_evaluation(home: Home, benchmark: Path) -> None:
    async with serving() as server:
        use(home, server)
    code, _, err = await home.run("eval", "dpab", str(benchmark))
    assert code == 1
    assert "Start the model server, or correct `base_url`." in err


@pytest.mark.check
async def test_an_answer_that_fails_costs_its_item_only(home: Home, benchmark: Path) -> None:
    async with serving() as server:
        use(home, server)

        async def chat(exchange: Exchange) -> None:
            if len(server.chats) == 1:
                await exchange.answer(500, {"error": {"message": "hiccup"}})
            else:
                await exchange.says(f"```python\n{GOOD}\n```")

        server.chat(chat)
        code, out, _ = await home.run("eval", "dpab", str(benchmark), "--json")
    results: list[dict[str, Any]] = json.loads(out)["results"]
    assert code == 0
    assert [each["published"]["strict"] for each in results] == [0, 1, 1]
    assert "hiccup" in results[0]["errors"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], "Cannot read 'missing.jsonl'"),
        (["{benchmark}", "--plans", "{benchmark}"], 'line 1 is no plan: it looks like {"row": 0'),
    ],
)
def test_wrong_files_are_usage_errors(
    benchmark: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(each.format(benchmark=benchmark) for each in arguments)) == 2
    assert words in capsys.readouterr().err


@pytest.mark.check
def test_hand_written_plans_solve_the_benchmark(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every plan that a person wrote for a row of DPAB is worth 1 in both ways."""
    ready = Path(__file__).parents[1] / "quantized" / "data" / "dpab_plans.jsonl"
    file = shared / "data" / "dpab" / "eval_alpha_odd.jsonl"
    assert run(str(file), "--plans", str(ready), "--json") == 0
    results = [each for each in json.loads(capsys.readouterr().out)["results"] if each["status"] != "no_plan"]
    assert len(results) >= 30
    assert [each for each in results if not (each["published"]["strict"] and each["observed"]["strict"])] == []
