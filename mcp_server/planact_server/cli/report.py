"""An answer as people read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planact_server.cli.terminal import console, print_table
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from rich.text import Text

WIDTH = 64
"""Characters of a value in a table."""

_COLOURS = {"ok": "green", "running": "yellow", "approval_required": "yellow"}


def print_answer(answer: JSONObject) -> None:
    """Show an answer on standard error: output, calls, variables, result, errors."""
    from rich.text import Text

    out = console()
    if output := answer.get("output"):
        out.print(Text(str(output).rstrip("\n")))
    if calls := _objects(answer.get("calls")):
        headers = ["#", "line", "ms", "", "call", "value", "bound to"]
        print_table("calls", headers, [_call(call, out.width) for call in calls])
    variables = answer.get("variables")
    if isinstance(variables, dict) and variables:
        print_table(
            "variables", ["name", "value"], [[name, _short(value, out.width - 16)] for name, value in variables.items()]
        )
    for error in _objects(answer.get("errors")):
        out.print(_error(error))
    if "result" in answer:
        out.print(Text.assemble(("result ", "bold"), json.dumps(answer["result"], ensure_ascii=False)))
    for warning in _strings(answer.get("warnings")):
        out.print(Text(f"note: {warning}", style="dim"))
    status = str(answer["status"])
    session = f"  session {answer['session']}" if "session" in answer else ""
    out.print(Text.assemble((status, _COLOURS.get(status, "red")), (session, "dim")))


def _call(call: JSONObject, width: int) -> list[str]:
    arguments = call.get("arguments")
    given = ", ".join(f"{k}={_short(v)}" for k, v in arguments.items()) if isinstance(arguments, dict) else ""
    value = call.get("value") if call.get("ok") else call.get("error")
    bound = ", ".join(_strings(call.get("bound_to")))
    milliseconds = call.get("ms")
    return [
        str(call.get("call")),
        str(call.get("line") or ""),
        f"{milliseconds:.1f}" if isinstance(milliseconds, float) else "",
        "∥" if call.get("parallel") else "",
        _cut(f"{call.get('function')}({given})", width * 45 // 100),
        ("" if call.get("ok") else "✗ ") + _short(value, width // 4),
        bound,
    ]


def _error(error: JSONObject) -> Text:
    from rich.text import Text

    where = f" (line {error['line']})" if "line" in error else ""
    text = Text.assemble((f"{error['type']}{where}: ", "bold red"), str(error["message"]))
    if code := error.get("code_line"):
        text.append(f"\n    {code}")
    if hint := error.get("hint"):
        text.append(f"\n  hint: {hint}", style="yellow")
    return text


def _short(value: JSONValue, width: int = WIDTH) -> str:
    return _cut(json.dumps(value, ensure_ascii=False), width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _objects(value: JSONValue) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: JSONValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
