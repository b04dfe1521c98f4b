"""An answer as people read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planact_server.cli.place import as_usable
from planact_server.cli.terminal import NARROW, console, cut, visible
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ARGUMENT = 40
"""Characters of one argument of a call."""

MOST_LINES = 40
"""Lines of output and of a result; `--json` has all of them."""

_MARKS = {
    "parallel": ("∥", "at the same time as another"),
    "stand_in": ("≈", "not made, the value is made up"),
    "reused": ("↺", "made by an earlier attempt, and not again"),
    "emulated": ("~", "answered by the model"),
}
"""Marks of a call: how they are shown, and what they mean."""

_COLOURS = {"ok": "green", "running": "yellow", "approval_required": "yellow"}


def print_answer(answer: JSONObject, *, handles: bool = True) -> None:
    """Show an answer on standard error: plan, output, calls, variables, result, errors."""
    out = console()
    _print_plan(out, answer)
    if output := answer.get("output"):
        _print_block(out, "output", str(output).rstrip("\n"))
    if calls := _objects(answer.get("calls")):
        told = [f"{mark}: {meaning}" for key, (mark, meaning) in _MARKS.items() if any(call.get(key) for call in calls)]
        _print_title(out, "calls", " · ".join(told))
        for call in calls:
            _print_call(out, call)
    variables = answer.get("variables")
    if isinstance(variables, dict) and variables:
        _print_title(out, "variables")
        widest = min(max(map(len, variables)), out.width // 3)
        for name, value in variables.items():
            _print_line(out, f"  {name:{widest}} = {_json(value, out.width)}")
    if "result" in answer:
        _print_result(out, answer["result"])
    for error in _objects(answer.get("errors")):
        out.print(_error(error))
    for warning in _strings(answer.get("warnings")):
        out.print(f"note: {visible(warning)}", style="dim", markup=False)
    usage = answer.get("usage")
    if isinstance(usage, dict):
        _print_line(out, f"written by {_writing(usage)}", style="dim")
    out.print(_status(answer, handles=handles))


def _print_plan(out: Console, answer: JSONObject) -> None:
    """Show what the planner wrote: the attempts that failed in a line each, and the plan that ran."""
    if "plan" not in answer:
        return
    attempts = _objects(answer.get("attempts"))
    for number, attempt in enumerate(attempts[:-1], 1):
        errors = _objects(attempt.get("errors"))
        why = f"{errors[0].get('type')}: {errors[0].get('message')}" if errors else "given up"
        _print_line(out, f"attempt {number}  ✗ {why}".replace("\n", " "), style="dim")
    _print_title(out, "plan", f"attempt {len(attempts)}" if attempts else "")
    lines = str(answer["plan"]).rstrip("\n").split("\n")
    for number, line in enumerate(lines[:MOST_LINES], 1):
        _print_numbered(out, number, line)
    if len(lines) > MOST_LINES:
        _print_line(out, f"  … {len(lines) - MOST_LINES} more lines", style="dim")


def _print_numbered(out: Console, number: int, line: str) -> None:
    """Show a line of a plan, whole: a person judges by it what was done."""
    start, shown = f"  {number:>2} ", visible(line)
    room = max(out.width - len(start), 8)
    for at in range(0, max(len(shown), 1), room):
        part = shown[at : at + room]
        out.print((start if at == 0 else " " * len(start)) + part, style="cyan", markup=False, no_wrap=True)


def _writing(usage: JSONObject) -> str:
    """Say who wrote the plan, and what it took."""
    tokens, seconds = usage.get("generated_tokens"), usage.get("seconds")
    took = f", {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    about = "about " if usage.get("estimated") else ""
    return f"{usage.get('model', 'a model')}: {about}{tokens} tokens{took}"


def _print_title(out: Console, title: str, note: str = "") -> None:
    from rich.text import Text

    out.print(Text.assemble((title, "bold"), (f"  {note}" if note else "", "dim")))


def _print_line(out: Console, text: str, *, style: str = "") -> None:
    out.print(visible(text), style=style, markup=False, no_wrap=True, overflow="ellipsis")


def _print_call(out: Console, call: JSONObject) -> None:
    line, milliseconds = call.get("line"), call.get("ms")
    where = f"line {line}" if line else ""
    took = f"{milliseconds:.1f} ms" if isinstance(milliseconds, int | float) else ""
    marks = "".join(mark for key, (mark, _) in _MARKS.items() if call.get(key))
    start = f"  {where:8} {took:>9} {marks or ' '} "
    style = "" if call.get("ok") else "red"
    if out.width < NARROW:
        _print_line(out, start.rstrip(), style="dim")
        start = "    "
    _print_line(out, start + _call(call, out.width - len(start)), style=style)


def _call(call: JSONObject, room: int) -> str:
    """Return a call as `name = function(argument=…) → value`, in `room` characters."""
    names = _strings(call.get("bound_to"))
    head = f"{', '.join(names)} = " if names else ""
    function = f"{call.get('function')}"
    outcome = f"→ {_json(call.get('value'), room)}" if call.get("ok") else f"✗ {call.get('error')}"
    arguments = call.get("arguments")
    given = [f"{k}={_json(v, ARGUMENT)}" for k, v in arguments.items()] if isinstance(arguments, dict) else []
    rest = room - len(f"{head}{function}() ")
    # The outcome may push the arguments out to half of the room: they stand in the plan as well.
    listed = _fitting(given, max(rest - len(outcome), rest // 2))
    return f"{head}{function}({listed}) {cut(outcome, max(rest - len(listed), 8))}"


def _fitting(parts: list[str], room: int) -> str:
    """Join as many parts as fit, with … for the others."""
    whole = ", ".join(parts)
    if len(whole) <= room:
        return whole
    for count in range(len(parts) - 1, 0, -1):
        some = ", ".join([*parts[:count], "…"])
        if len(some) <= room:
            return some
    return cut(whole, max(room, 1))


def _print_result(out: Console, result: JSONValue) -> None:
    if isinstance(result, str) and "\n" in result.strip("\n"):
        _print_block(out, "result", result.rstrip("\n"))
        return
    from rich.text import Text

    shown = cut(visible(json.dumps(result, ensure_ascii=False)), MOST_LINES * out.width)
    out.print(Text.assemble(("result ", "bold"), shown))


def _print_block(out: Console, title: str, text: str) -> None:
    _print_title(out, title)
    lines = text.split("\n")
    for line in lines[:MOST_LINES]:
        out.print(f"  {visible(line)}", markup=False)
    if len(lines) > MOST_LINES:
        _print_line(out, f"  … {len(lines) - MOST_LINES} more lines", style="dim")


def _error(error: JSONObject) -> Text:
    from rich.text import Text

    where = f" in line {error['line']}" if "line" in error else ""
    # Our own words, with a command in them; those of a plan that fails are not ours.
    say = as_usable if error["type"] == "PlanningError" else str
    message = visible(say(str(error["message"])))
    text = Text.assemble((f"{error['type']}{where}{': ' if message else ''}", "bold red"), message)
    if code := error.get("code_line"):
        text.append(visible(f"\n  {str(code).strip()}"), style="dim")
    if hint := error.get("hint"):
        first, *others = visible(say(str(hint))).split("\n")
        text.append("\n".join([f"\n  hint: {first}", *(f"  {line}" for line in others)]), style="yellow")
    return text


def _status(answer: JSONObject, *, handles: bool) -> Text:
    from rich.text import Text

    status = str(answer["status"])
    session = f"  session {answer['session']}" if handles and "session" in answer else ""
    return Text.assemble((status, _COLOURS.get(status, "red")), (session, "dim"))


def _json(value: JSONValue, width: int) -> str:
    return cut(json.dumps(value, ensure_ascii=False), width)


def _objects(value: JSONValue) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: JSONValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
