"""A home folder for one test, and Planact serving from it as a real process."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client

from warm.start import warm_python

WORKSHOP = Path(__file__).parent / "server" / "servers" / "workshop.py"


class Home:
    """Configuration and state of one user, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PLANACT_")},
            "PLANACT_HOME": str(folder / "state"),
            "PLANACT_CONFIG": str(folder / "planact.toml"),
            "XDG_CONFIG_HOME": str(folder / "xdg"),
            "HOME": str(folder),
            # As in a shell where the environment is active: hints name the command `planact`.
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        }
        self.configure()

    def configure(self, toml: str = '[policy]\ntrust = ["workshop"]\n', **servers: dict[str, Any]) -> None:
        """Write planact.toml and mcp.json; without servers there is the workshop."""
        (self.folder / "planact.toml").write_text(toml)
        entries = servers or {"workshop": workshop()}
        (self.folder / "mcp.json").write_text(json.dumps({"mcpServers": entries}))

    def serve(
        self, *, mode: str = "auto", within: float = 60, cold: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[Client]:
        """Start `planact serve`, in an interpreter of its own if `cold`, and connect to it."""
        return _serving(self, mode, within, cold, options)

    async def run(
        self, *arguments: str, stdin: str = "", cwd: Path | None = None, cold: bool = False
    ) -> tuple[int, str, str]:
        """Run one planact command, in an interpreter of its own if `cold`; return exit code, output and errors."""
        process = await asyncio.create_subprocess_exec(
            *planact(*arguments, cold=cold),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=cwd or self.work,
        )
        try:
            # It may end without having read its input.
            out, errors = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()


def workshop(*arguments: str) -> dict[str, Any]:
    """Return the mcp.json entry of the workshop server."""
    command, *rest = warm_python(str(WORKSHOP), *arguments)
    return {"command": command, "args": rest}


@asynccontextmanager
async def _serving(home: Home, mode: str, within: float, cold: bool, options: dict[str, Any]) -> AsyncIterator[Client]:
    command, *rest = planact("serve", cold=cold)
    parameters = StdioServerParameters(
        command=command,
        args=rest,
        env=home.environment,
        cwd=home.work,
    )
    with (home.folder / "stderr.txt").open("w") as errors, anyio.fail_after(within):
        async with Client(stdio_client(parameters, errlog=errors), mode=mode, **options) as client:
            yield client


def planact(*arguments: str, cold: bool = False) -> list[str]:
    """Return the command line of a planact command, in an interpreter of its own if `cold`."""
    command = ("-m", "planact_server", *arguments)
    return [sys.executable, "-P", *command] if cold else warm_python(*command)


async def appears(path: Path) -> None:
    """Wait until somebody has made a file."""
    with anyio.fail_after(20):
        while not path.exists():
            await anyio.sleep(0.01)


async def act(client: Client, code: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Call the tool and return its answer; both carriers of it must agree."""
    if code is not None:
        arguments["code"] = code
    result = await client.call_tool("run_python_actions", arguments)
    assert result.structured_content is not None, result
    assert json.loads(result.content[0].text) == result.structured_content
    assert result.is_error == (result.structured_content["status"] not in ("ok", "running", "approval_required"))
    return result.structured_content
