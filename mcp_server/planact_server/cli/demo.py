"""`planact demo`: two plans over real tools, in a throw-away folder, without network or configuration."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from planact_server.cli.place import as_typed, host_entry
from planact_server.cli.report import print_answer
from planact_server.cli.terminal import JSONOption, console, examples, log_to_stderr, print_json, waiting
from planact_server.config import Config, PackSpec, PolicySettings
from planact_tools import JSONObject

# The scenario of the article that introduced Dria-Agent, with the check that a booking needs.
BOOKING = """\
slot = {"day": "2026-12-01", "start_time": "10:00", "end_time": "12:00"}
if check_availability(**slot):
    appointment = make_appointment(**slot, title="Meeting with Thomas")
    reminder = add_to_reminders(f"{appointment['title']}, {slot['day']}")
"""

# The second plan of the same session: `slot` is still there.
FAN_OUT = """\
import asyncio, json
days = [f"2026-12-0{number}" for number in range(1, 5)]
free = await asyncio.gather(
    *[check_availability(**slot | {"day": day}) for day in days]
)
agenda = {day: "free" if ok else "busy" for day, ok in zip(days, free)}
saved = files.write_text("agenda.json", json.dumps(agenda))
agenda
"""

ALLOWED = ("calendar.make_appointment", "calendar.add_to_reminders", "files.write_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    title: str
    plan: str


ACTS = (
    _Act(title="Book a meeting, but only if the time is free", plan=BOOKING),
    _Act(title="Look at four days at once, and write down how they stand (same session)", plan=FAN_OUT),
)


def register(app: typer.Typer) -> None:
    app.command("demo", epilog=examples("planact demo", "planact demo --json"))(demo)


def demo(as_json: JSONOption = False) -> int:
    """Show two plans at work, on real tools in a throw-away folder.

    The tools are those of an MCP server over stdio (calendar) and of a pack of Python functions (files). All
    configuration is ignored, nothing outside the folder is changed, no network is needed.
    """
    log_to_stderr(verbose=False)
    # Programs get one object, so for them both plans are one.
    acts = (_Act(title="Both plans as one", plan=BOOKING + FAN_OUT),) if as_json else ACTS
    with tempfile.TemporaryDirectory(prefix="planact-demo-") as folder:
        answers = asyncio.run(_play(Path(folder), acts, show=not as_json))
    if as_json:
        print_json(answers[0])
    else:
        _say_what_is_next()
    return 0 if all(answer["status"] == "ok" for answer in answers) else 1


async def _play(folder: Path, acts: Sequence[_Act], *, show: bool) -> list[JSONObject]:
    from planact_bridge import StdioSpec
    from planact_server.app import open_app
    from planact_server.request import PlanRequest
    from planact_server.server import LOCAL_CLIENT

    config = Config(
        state=folder,
        packs=(PackSpec(spec="files", base=folder, origin="demo"),),
        policy=PolicySettings(trust=("calendar",), allow=ALLOWED),
    )
    calendar = StdioSpec(
        name="calendar",
        command=sys.executable,
        args=("-P", "-m", "planact_server", "packs", "serve", "calendar"),
        env={"PLANACT_HOME": str(folder)},
        origin="demo",
    )
    if show:
        _introduce()
    answers: list[JSONObject] = []
    async with open_app(config, servers=(calendar,)) as app:
        session: str | None = None
        for number, act in enumerate(acts, 1):
            if show:
                _announce(number, act)
            async with waiting(lambda: "Starting the calendar server"):
                reply = await app.executor.execute(PlanRequest(code=act.plan, session=session), client=LOCAL_CLIENT)
            answers.append(with_plan(reply.answer, act.plan))
            session = str(reply.answer.get("session"))
            if show:
                print_answer(reply.answer, handles=False)
    return answers


def _introduce() -> None:
    out = console()
    out.print("[bold]Planact[/bold] runs plans in Python over the tools of other MCP servers.")
    out.print("In this demo, in a folder that is thrown away afterwards:\n")
    out.print("  calendar  an MCP server, started over stdio as any other")
    out.print("  files     a pack: Python functions as tools, one folder as their world\n")
    out.print("What the plans may do without asking, as a planact.toml says it:\n")
    allowed = "".join(f'    "{pattern}",\n' for pattern in ALLOWED)
    _print_code(f'[policy]\ntrust = ["calendar"]   # its read-only marks are believed\nallow = [\n{allowed}]', "toml")


def _announce(number: int, act: _Act) -> None:
    console().print(f"\n[bold]{number}. {act.title}[/bold]")
    _print_code(act.plan, "python", numbered=True)


def _print_code(text: str, language: str, *, numbered: bool = False) -> None:
    from rich.syntax import Syntax
    from rich.text import Text

    # Colours by name, so that they are readable on light and on dark terminals.
    code = Syntax("", language, theme="ansi_dark", background_color="default").highlight(text.rstrip())
    for number, line in enumerate(code.split(), 1):
        console().print(Text.assemble((f"  {number} " if numbered else "  ", "dim"), line))


def _say_what_is_next() -> None:
    out = console()
    out.print("\nA host gets this as one JSON object, from one tool: [bold]run_python_actions[/bold].\n")
    for text, line in (
        ("Add Planact to a host (docs/hosts.md says where):", host_entry()),
        ("See what is in force, and which folder your servers' mcp.json belongs in:", as_typed("doctor")),
        ("See the object:", as_typed("demo", "--json")),
    ):
        out.print(text)
        # Whole, however long: it is to be copied.
        out.print(f"  {line}\n", style="cyan", markup=False, soft_wrap=True)


def with_plan(answer: JSONObject, plan: str) -> JSONObject:
    """Return the answer with its plan behind the handles, where the contract has it."""
    head = {key: answer[key] for key in ("status", "session", "run") if key in answer}
    return head | {"plan": plan} | answer
