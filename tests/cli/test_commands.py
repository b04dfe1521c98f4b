"""The command line as a person and as a program use it: exit codes, tables, JSON."""

import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import takewhile
from pathlib import Path

import pytest
import typer

from planact_server.cli.program import program
from planact_testing import Home, workshop

PLANACT = typer.main.get_command(program())


def commands() -> Iterator[list[str]]:
    """Every command's path, the groups' own included."""

    def below(command: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*path, name])

    return below(PLANACT, [])


def transcript() -> str:
    """The demo as the README shows it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    return readme.partition("```console\n")[2].partition("```")[0]


def timeless(text: str) -> list[str]:
    """The lines of a demo without what differs from one run to the next."""
    return [re.sub(r" +[0-9.]+ ms", " … ms", line).rstrip() for line in text.splitlines()]


def explained(path: Sequence[str], *, columns: int) -> str:
    """The help of a command on a screen so wide."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        PLANACT.main([*path, "--help"], prog_name="planact", standalone_mode=False, terminal_width=columns)
    return shown.getvalue()


def parse(words: Sequence[str]) -> None:
    """Read a command line without running it. Raises what typer raises for a wrong one."""
    command, context, rest = PLANACT, None, list(words)
    while True:
        context = command.make_context("planact", rest, parent=context)
        inner = [*context._protected_args, *context.args] if getattr(command, "commands", {}) else []
        if not inner:
            return
        command, rest = command.commands[inner[0]], inner[1:]


async def test_run_prints_one_json_answer(home: Home) -> None:
    code, out, _ = await home.run("run", "--code", "-", "--json", stdin="z = pair_sum(a=[1], b=[2])\nz[0]", cold=True)
    answer = json.loads(out)
    assert code == 0
    assert (answer["status"], answer["result"]) == ("ok", 3)
    assert answer["function_results"] == {"pair_sum": ["z"]}


async def test_run_shows_people_what_happened_and_leaves_standard_output_alone(home: Home) -> None:
    (home.work / "plan.py").write_text("print('hello')\nz = pair_sum(a=[1], b=[2])\n")
    code, out, seen = await home.run("run", "--code", "plan.py")
    assert (code, out) == (0, "")
    assert "hello" in seen
    assert "z = pair_sum(a=[1], b=[2]) → [3]" in seen


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
        (["run", "--code", "-", "--task", "book a table"], "task"),
        (["runn"], "Did you mean 'run'?"),
        (["run", "--coed", "x"], "`planact run --help`"),
        (["tools", "show"], "NAME"),
        (["tools", "--json", "search", "x"], "`--json` belongs behind"),
        (["tools", "show", "pair_some"], "pair_sum"),
        (["tools", "show", "workshop"], "is a server; name one of its tools: workshop."),
        (["--config", "x"], "config"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(home: Home, arguments: list[str], said: str) -> None:
    code, out, complaint = await home.run(*arguments, stdin="1")
    assert code == 2
    assert said in complaint + out


@pytest.mark.parametrize("command", [["run", "--code", "-"], ["serve"], ["tools"]], ids=" ".join)
async def test_a_state_that_cannot_be_used_is_exit_code_2_and_names_the_variable(
    home: Home, command: list[str]
) -> None:
    (home.folder / "state").write_text("not a folder")
    code, out, seen = await home.run(*command, stdin="1")

    assert (code, out) == (2, "")
    assert seen.startswith(f"planact: The state in {home.folder / 'state' / 'planact.db'} cannot be used:")
    assert seen.endswith("PLANACT_HOME names another folder.\n")


async def test_what_a_pack_prints_stays_out_of_the_answer(home: Home) -> None:
    (home.folder / "chatty.py").write_text(
        "from planact_tools import tool\nprint('at import')\n"
        "@tool(read_only=True)\ndef greet() -> str:\n    print('in the call')\n    return 'hello'\n"
    )
    home.configure('packs = ["./chatty.py"]\n[policy]\ntrust = ["chatty"]\n')
    code, out, seen = await home.run("run", "--code", "-", "--json", stdin="greet()")

    assert (code, json.loads(out)["result"]) == (0, "hello")
    assert {"at import", "in the call"} <= set(seen.splitlines())


async def test_sessions_go_on_between_commands(home: Home) -> None:
    _, out, _ = await home.run("run", "--code", "-", "--json", stdin="n = 41")
    session = json.loads(out)["session"]
    _, out, _ = await home.run("run", "--code", "-", "--json", "--session", session, stdin="n + 1")
    assert json.loads(out)["result"] == 42


async def test_tools_are_listed_searched_and_shown(home: Home, cold: bool) -> None:
    _, listed, _ = await home.run("tools", "--json", cold=cold)
    _, found, said = await home.run("tools", "search", "record", "--json", "--limit", "1")
    assert said == ""
    _, shown, _ = await home.run("tools", "show", "lookup", "--json")
    assert {"name": "workshop.lookup", "read_only": True}.items() <= json.loads(listed)[1].items()
    assert [tool["name"] for tool in json.loads(found)] == ["workshop.lookup"]
    assert json.loads(shown)["input_schema"]["required"] == ["key"]


async def test_servers_show_how_each_one_stands(home: Home, cold: bool) -> None:
    home.configure("", workshop=workshop(), lathe=workshop("--broken"))
    code, out, _ = await home.run("servers", "--json", cold=cold)
    reports = {report["name"]: report for report in json.loads(out)}
    assert code == 0
    assert (reports["workshop"]["state"], reports["workshop"]["tools"]) == ("ready", 8)
    assert reports["lathe"]["state"] == "failed"
    assert "the lathe is missing" in reports["lathe"]["error"]


async def test_servers_are_really_started_even_where_their_tools_are_remembered(home: Home) -> None:
    gone = home.folder / "gone"
    home.configure("", workshop=workshop("--until", str(gone)))
    _, before, _ = await home.run("servers", "--json")
    gone.touch()
    _, after, _ = await home.run("servers", "--json")
    assert [report["state"] for report in json.loads(before)] == ["ready"]
    assert [report["state"] for report in json.loads(after)] == ["failed"]


async def test_doctor_lists_undecided_servers_with_the_lines_to_decide(home: Home, cold: bool) -> None:
    home.configure("")
    code, out, _ = await home.run("doctor", "--json", cold=cold)
    report = json.loads(out)
    assert code == 0
    assert report["undecided"] == ["workshop"]
    assert report["security_boundary"] is (sys.platform == "linux")
    advice = [finding.get("advice") for finding in report["findings"]]
    assert f'[policy] in {home.folder / "planact.toml"} becomes:\n[policy]\ntrust = ["workshop"]' in advice


async def test_doctor_prints_one_policy_for_all_undecided_servers_with_what_is_in_force(home: Home) -> None:
    home.configure(
        '[policy]\ndeny = ["one.erase"]\ntrust = ["time"]\n', one=workshop(), two=workshop(), three=workshop()
    )
    _, out, _ = await home.run("doctor", "--json")
    (advice,) = [advice for each in json.loads(out)["findings"] if "becomes:" in (advice := each.get("advice", ""))]
    where, _, pasted = advice.partition("\n")
    assert where == f"[policy] in {home.folder / 'planact.toml'} becomes:"
    assert pasted == '[policy]\ntrust = ["time", "one", "two", "three"]\ndeny = ["one.erase"]'
    (home.folder / "planact.toml").write_text(pasted)
    _, out, _ = await home.run("doctor", "--json")
    assert json.loads(out)["undecided"] == []


async def test_doctor_says_how_each_server_stands_and_which_keys_are_set(home: Home) -> None:
    home.configure(
        'packs = ["calendar"]\n[policy]\ntrust = ["*"]\n[servers]\nstart_timeout_seconds = 1.5\n',
        workshop=workshop(),
        frozen={"command": sys.executable, "args": ["-S", "-c", "import time; time.sleep(60)"]},
    )
    code, _, said = await home.run("doctor")
    assert code == 1
    assert re.search(
        r"✓ server workshop 8 tools, workshop[^,]*, revision 2026-07-28 \(stateless\), there after [\d,]+ ms", said
    )
    assert "✓ server calendar 6 tools, a pack\n" in said
    assert "✗ server frozen It has not answered within 1.5 s ([servers] start_timeout_seconds)." in said
    assert (
        f"✓ configuration packs, policy.trust, servers.start_timeout_seconds set by {home.folder / 'planact.toml'}\n"
        in said
    )


async def test_doctor_says_what_it_can_where_the_configuration_cannot_be_read(home: Home) -> None:
    (home.folder / "planact.toml").write_text("[polcy]\n")
    code, out, _ = await home.run("doctor", "--json")
    report = json.loads(out)
    problems = [each for each in report["findings"] if each["level"] == "problem"]
    assert (code, [each["subject"] for each in problems]) == (2, ["configuration"])
    assert "policy" in problems[0]["text"]
    assert {each["subject"] for each in report["findings"]} >= {"python", "for a host"}


async def test_doctor_fails_when_a_server_is_broken_and_names_its_log_where_there_is_one(home: Home) -> None:
    home.configure("", lathe=workshop("--broken"), gone={"command": "no-such-command"})
    code, _, seen = await home.run("doctor")
    assert code == 1
    assert "the lathe is missing" in seen
    assert "`planact servers logs lathe` has what it said." in seen
    assert "the command 'no-such-command' was not found" in seen
    assert "servers logs gone" not in seen


async def test_doctor_shows_names_as_they_are_and_suggests_what_can_be_pasted(home: Home) -> None:
    home.configure('[policy]\nallow = ["a\u00a0b.*"]\n', **{"[/x]": workshop(), "two": workshop()})
    _, _, said = await home.run("doctor")
    assert "✓ server [/x] 8 tools" in said
    lines = [line.strip() for line in said.partition("becomes:\n")[2].splitlines()]
    pasted = "\n".join(takewhile(lambda line: line == "[policy]" or " = " in line, lines))
    table = tomllib.loads(pasted)["policy"]
    assert (table["allow"], len(table["trust"])) == (["a\u00a0b.*"], 2)
    (home.folder / "planact.toml").write_text(pasted)
    _, out, _ = await home.run("doctor", "--json")
    assert json.loads(out)["undecided"] == []


async def test_packs_are_listed(home: Home, cold: bool) -> None:
    code, out, _ = await home.run("packs", "--json", cold=cold)
    assert code == 0
    assert {"calendar", "files"} <= {pack["name"] for pack in json.loads(out)}


async def test_an_unknown_pack_is_named(home: Home) -> None:
    code, _, complaint = await home.run("packs", "serve", "calender")
    assert code == 2
    assert "calender" in complaint
    assert "calendar" in complaint


async def test_a_thread_that_a_pack_leaves_behind_does_not_hold_up_the_end(home: Home) -> None:
    pack = home.folder / "lasting.py"
    pack.write_text(
        "import threading, time\nfrom planact_tools import tool\n"
        "threading.Thread(target=time.sleep, args=(300,)).start()\n"
        "@tool(read_only=True)\ndef one() -> int: return 1\n"
    )
    home.configure('packs = ["./lasting.py"]\n[policy]\ntrust = ["lasting"]\n')
    code, out, _ = await home.run("run", "--code", "-", "--json", stdin="one()", cold=True)
    assert (code, json.loads(out)["result"]) == (0, 1)


async def test_trust_is_given_on_a_terminal_only(home: Home) -> None:
    (home.work / "planact.toml").write_text('packs = ["calendar"]\n')
    code, _, complaint = await home.run("trust", ".", stdin="y\n")
    assert code == 2
    assert "terminal" in complaint


async def test_init_writes_and_trusts_a_file_until_it_changes(home: Home, cold: bool) -> None:
    code, _, _ = await home.run("init", cold=cold)
    _, _, quiet = await home.run("packs")
    (home.work / "planact.toml").write_text('packs = ["calendar"]\n')
    _, _, loud = await home.run("servers")
    assert code == 0
    assert "planact trust" not in quiet
    assert "planact trust" in loud


@pytest.mark.parametrize("columns", [80, 40])
def test_every_command_is_explained_with_lines_to_paste(columns: int) -> None:
    for path in commands():
        shown = explained(path, columns=columns)
        assert f"Usage: planact{''.join(f' {name}' for name in path)}" in " ".join(shown.split())
        assert not path or f"  planact {' '.join(path)}" in shown


def test_the_list_of_commands_cuts_no_explanation_and_names_the_exit_codes() -> None:
    for group in ([], ["models"], ["hosts"], ["eval"]):
        shown = explained(group, columns=80)
        assert "..." not in shown.partition("Commands:")[2]
    assert "130" in explained([], columns=80)


def test_every_example_in_the_help_is_a_command_line_that_is_understood() -> None:
    """Parsed, not run: an option that is misspelt or gone would be refused."""
    for path in commands():
        shown = explained(path, columns=200)
        for line in re.findall(r"^ +(planact .*)$", shown.partition("Examples:")[2], re.MULTILINE):
            words = shlex.split(line, comments=True)[1:]
            parse(words)


async def test_planact_alone_shows_its_help(home: Home) -> None:
    code, out, err = await home.run()
    assert (code, err) == (0, "")
    assert "Usage: planact" in out


async def test_demo_prints_one_object_with_its_plan(home: Home, cold: bool) -> None:
    code, out, _ = await home.run("demo", "--json", cold=cold)
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
    for text in (
        "[policy]",
        "appointment = make_appointment(day=",
        "∥ check_availability(",
        "∥: at the same time",
        '"args": ["serve"]',
        "doctor",
    ):
        assert text in seen
    assert max(map(len, seen.partition("A host gets")[0].splitlines())) <= 80
    shown = iter(timeless(seen))
    # In this order, with others in between.
    command, elision, *lines = timeless(transcript())
    assert (command, elision, len(lines)) == ("$ make demo", "...", 18)
    assert [line for line in lines if line not in shown] == []
