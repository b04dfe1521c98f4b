"""Planact started by Planact: as its own server, and as one of its packs."""

import json
import sys
from typing import Any

import pytest

from planact_testing import Home, planact


def entry(*arguments: str, **more: Any) -> dict[str, Any]:
    command, *rest = planact(*arguments)
    return {"command": command, "args": rest, **more}


async def test_a_script_that_turns_out_to_serve_planact_ends_and_says_what_to_do(home: Home) -> None:
    script = home.folder / "script.py"
    words = planact("serve", "--http", "127.0.0.1:0")
    script.write_text(f"import subprocess, sys\nsys.exit(subprocess.run({words!r}).returncode)\n")
    home.configure(wrapped={"command": sys.executable, "args": ["-S", str(script)]})
    code, out, _ = await home.run("servers", "--json")
    (report,) = json.loads(out)
    assert (code, report["state"]) == (0, "failed")
    assert "started by another one as its server 'wrapped': take that entry out" in report["error"]


async def test_packs_are_served_inside_and_so_is_what_the_entry_says_is_meant(home: Home) -> None:
    environment = {**home.environment, "PLANACT_HOME": str(home.folder / "inner"), "PLANACT_INSIDE": ""}
    del environment["PLANACT_CONFIG"]
    home.configure(
        days=entry("packs", "serve", "calendar"),
        inner=entry("serve", env=environment),
    )
    code, out, _ = await home.run("servers", "--json")
    assert code == 0
    assert {each["name"]: each["state"] for each in json.loads(out)} == {"days": "ready", "inner": "ready"}


@pytest.mark.parametrize("arguments", [[], ["--http", "127.0.0.1:0"]])
async def test_serving_inside_is_wrong_usage(home: Home, arguments: list[str]) -> None:
    home.environment["PLANACT_INSIDE"] = "x"
    code, out, complaint = await home.run("serve", *arguments)
    assert (code, out) == (2, "")
    assert "'x'" in complaint
