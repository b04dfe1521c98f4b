"""`planact demo`: two plans over real tools, in a throw-away folder, without network or configuration."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from planact_server.cli.report import print_answer
from planact_server.cli.terminal import JSONOption, console, log_to_stderr, print_json
from planact_server.config import Config, PackSpec, PolicySettings
from planact_tools import JSONObject

# The scenario of the article that introduced Dria-Agent, with the check that a booking needs.
BOOKING = """\
day, start, end = "2026-12-01", "10:00", "12:00"
if check_availability(day=day, start_time=start, end_time=end):
    appointment = make_appointment(
        day=day, start_time=start, end_time=end, title="Meeting with Thomas"
    )
    note = f"{day} {start}: {appointment['title']}"
    reminder = add_to_reminders(reminder_text=note)
else:
    appointment = None
appointment
"""

FAN_OUT = """\
import asyncio

days = [f"2026-12-{number:02}" for number in range(1, 6)]
free = await asyncio.gather(
    *[
        check_availability(day=day, start_time="10:00", end_time="12:00")
        for day in days
    ]
)
agenda = {day: "free" if ok else "busy" for day, ok in zip(days, free)}
lines = [f"- {day}: {state}" for day, state in agenda.items()]
saved = files.write_text(path="agenda.md", text="\\n".join(lines))
files.read_text(path="agenda.md")
"""

ALLOWED = ("calendar.make_appointment", "calendar.add_to_reminders", "files.write_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    title: str
    plan: str


ACTS = (
    _Act(title="Book a meeting, but only if the time is free", plan=BOOKING),
    _Act(title="Look at five days at once and write the agenda down", plan=FAN_OUT),
)


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(as_json: JSONOption = False) -> int:
    """Run two plans over a real MCP server (calendar, over stdio) and a local pack (files).

    Uses a throw-away folder, ignores all configuration, needs no network.
    """
    log_to_stderr(verbose=False)
    # Programs get one object, so for them both plans are one.
    acts = (_Act(title="Both plans as one", plan=BOOKING + FAN_OUT),) if as_json else ACTS
    with tempfile.TemporaryDirectory(prefix="planact-demo-") as folder:
        answers = asyncio.run(_play(Path(folder), acts, show=not as_json))
    if as_json:
        print_json(answers[0])
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
        for act in acts:
            if show:
                _announce(act)
            reply = await app.executor.execute(PlanRequest(code=act.plan, session=session), client=LOCAL_CLIENT)
            answers.append(with_plan(reply.answer, act.plan))
            session = str(reply.answer.get("session"))
            if show:
                print_answer(reply.answer)
    return answers


def _introduce() -> None:
    from rich.syntax import Syntax

    out = console()
    out.print(
        "[bold]Planact demo[/bold]: one plan instead of many tool calls. Nothing outside a throw-away folder changes."
    )
    out.print("The calendar is a real MCP server over stdio; files is a local pack. The policy in force:")
    out.print(
        Syntax(f'[policy]\ntrust = ["calendar"]\nallow = {json.dumps(ALLOWED)}', "toml", background_color="default")
    )


def _announce(act: _Act) -> None:
    from rich.syntax import Syntax
    from rich.text import Text

    out = console()
    out.print()
    out.print(Text(act.title, style="bold"))
    out.print(Syntax(act.plan.rstrip(), "python", line_numbers=True, word_wrap=True, background_color="default"))


def with_plan(answer: JSONObject, plan: str) -> JSONObject:
    """Return the answer with its plan behind the handles, where the contract has it."""
    head = {key: answer[key] for key in ("status", "session", "run") if key in answer}
    return head | {"plan": plan} | answer
