"""The command line as a person and as a program use it: exit codes, tables, JSON."""

import json

import pytest

from planact_testing import Home, workshop


async def test_run_prints_one_json_answer(home: Home) -> None:
    code, out, _ = await home.run("run", "--code", "-", "--json", stdin="z = pair_sum(a=[1], b=[2])\nz[0]")
    answer = json.loads(out)
    assert code == 0
    assert (answer["status"], answer["result"]) == ("ok", 3)
    assert answer["function_results"] == {"pair_sum": ["z"]}


async def test_run_shows_people_what_happened_and_leaves_standard_output_alone(home: Home) -> None:
    (home.work / "plan.py").write_text("print('hello')\nz = pair_sum(a=[1], b=[2])\n")
    code, out, seen = await home.run("run", "--code", "plan.py")
    assert (code, out) == (0, "")
    assert "hello" in seen
    assert "pair_sum(a=[1], b=[2])" in seen


@pytest.mark.parametrize(
    ("plan", "exit_code"),
    [("1", 0), ("1/0", 1), ("import os", 1), ("erase(path='x')", 1)],
)
async def test_exit_codes_of_run(home: Home, plan: str, exit_code: int) -> None:
    code, out, _ = await home.run("run", "--code", "-", "--json", stdin=plan)
    assert code == exit_code
    assert json.loads(out)["status"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "--code"),
        (["run", "--code", "missing.py"], "missing.py"),
        (["run", "--code", "-", "--session", "s_nowhere"], "s_nowhere"),
        (["run", "--task", "book a table"], "task"),
        (["run", "--code", "-", "--dry-run"], "dry_run"),
        (["runn"], "runn"),
        (["tools", "show", "pair_some"], "pair_sum"),
        (["--config", "x"], "config"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(home: Home, arguments: list[str], said: str) -> None:
    code, out, complaint = await home.run(*arguments, stdin="1")
    assert code == 2
    assert said in complaint + out


async def test_sessions_go_on_between_commands(home: Home) -> None:
    _, out, _ = await home.run("run", "--code", "-", "--json", stdin="n = 41")
    session = json.loads(out)["session"]
    _, out, _ = await home.run("run", "--code", "-", "--json", "--session", session, stdin="n + 1")
    assert json.loads(out)["result"] == 42


async def test_tools_are_listed_searched_and_shown(home: Home) -> None:
    _, listed, _ = await home.run("tools", "--json")
    _, found, _ = await home.run("tools", "search", "record", "--json", "--limit", "1")
    _, shown, _ = await home.run("tools", "show", "lookup", "--json")
    assert {"name": "workshop.lookup", "read_only": True}.items() <= json.loads(listed)[1].items()
    assert [tool["name"] for tool in json.loads(found)] == ["workshop.lookup"]
    assert json.loads(shown)["input_schema"]["required"] == ["key"]


async def test_servers_show_how_each_one_stands(home: Home) -> None:
    home.configure("", workshop=workshop(), lathe=workshop("--broken"))
    code, out, _ = await home.run("servers", "--json")
    reports = {report["name"]: report for report in json.loads(out)}
    assert code == 0
    assert (reports["workshop"]["state"], reports["workshop"]["tools"]) == ("ready", 8)
    assert reports["lathe"]["state"] == "failed"
    assert "the lathe is missing" in reports["lathe"]["error"]


async def test_doctor_lists_undecided_servers_with_the_lines_to_decide(home: Home) -> None:
    home.configure("")
    code, out, _ = await home.run("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["undecided"] == ["workshop"]
    assert report["security_boundary"] is False
    advice = [finding.get("advice") for finding in report["findings"]]
    assert '[policy]\ntrust = ["workshop"]' in advice


async def test_doctor_fails_when_a_server_is_broken(home: Home) -> None:
    home.configure("", lathe=workshop("--broken"))
    code, _, seen = await home.run("doctor")
    assert code == 1
    assert "the lathe is missing" in seen
    assert "not yet a security boundary" in seen


async def test_packs_are_listed(home: Home) -> None:
    code, out, _ = await home.run("packs", "--json")
    assert code == 0
    assert {"calendar", "files"} <= {pack["name"] for pack in json.loads(out)}


async def test_an_unknown_pack_is_named(home: Home) -> None:
    code, _, complaint = await home.run("packs", "serve", "calender")
    assert code == 2
    assert "calender" in complaint
    assert "calendar" in complaint


async def test_trust_is_given_on_a_terminal_only(home: Home) -> None:
    (home.work / "planact.toml").write_text('packs = ["calendar"]\n')
    code, _, complaint = await home.run("trust", ".", stdin="y\n")
    assert code == 2
    assert "terminal" in complaint


async def test_init_writes_and_trusts_a_file_until_it_changes(home: Home) -> None:
    code, _, _ = await home.run("init")
    _, _, quiet = await home.run("packs")
    (home.work / "planact.toml").write_text('packs = ["calendar"]\n')
    _, _, loud = await home.run("servers")
    assert code == 0
    assert "planact trust" not in quiet
    assert "planact trust" in loud


async def test_help_teaches(home: Home) -> None:
    for command in ([], ["run"], ["serve"], ["tools"], ["packs", "serve"], ["trust"], ["demo"]):
        code, out, err = await home.run(*command, "--help")
        assert code == 0
        assert "Usage: planact" in out + err


async def test_demo_prints_one_object_with_its_plan(home: Home) -> None:
    code, out, _ = await home.run("demo", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["status"] == "ok"
    assert "check_availability" in answer["plan"]
    assert answer["function_results"]["make_appointment"] == ["appointment"]
    assert answer["variables"]["agenda"]["2026-12-01"] == "busy"
    assert any(call["parallel"] for call in answer["calls"])


async def test_demo_shows_people_plans_calls_and_variables(home: Home) -> None:
    home.configure("this is not TOML")
    code, out, seen = await home.run("demo")
    assert (code, out) == (0, "")
    for text in ("make_appointment", "agenda", "[policy]", "ok"):
        assert text in seen
