"""How `planact serve` over stdio ends when it is told to by a signal."""

import json
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from planact_testing import Home, act, appears

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a process to end")

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_cancels_the_downstream_call_and_keeps_the_session(
    home: Home, number: signal.Signals, code: int
) -> None:
    plan = f'rows = [1, 2]\nwait_for(path="{home.folder / "gate"}")'
    arguments = {"code": plan, "wait_seconds": 0}
    process = await anyio.open_process(
        [sys.executable, "-P", "-m", "planact_server", "serve"],
        env=home.environment,
        cwd=home.work,
        stderr=subprocess.PIPE,
    )
    with anyio.fail_after(30):
        async with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            lines = BufferedByteReceiveStream(process.stdout)
            for number_of_request, method, params in (
                (1, "initialize", INITIALIZE),
                (2, "tools/call", {"name": "run_python_actions", "arguments": arguments}),
            ):
                message = {"jsonrpc": "2.0", "id": number_of_request, "method": method, "params": params}
                await process.stdin.send(json.dumps(message).encode() + b"\n")
                answer: dict[str, Any] = {}
                while answer.get("id") != number_of_request:  # the list of tools may have changed meanwhile
                    answer = json.loads(await lines.receive_until(b"\n", 100_000))
            await appears(home.folder / "gate.started")
            process.send_signal(number)
            said = b"".join([chunk async for chunk in process.stderr])
            await process.wait()
    await appears(home.folder / "gate.cancelled")
    async with home.serve() as client:
        after = await act(client, "sum(rows)", session=answer["result"]["structuredContent"]["session"])

    assert (process.returncode, said, after["result"]) == (code, b"", 3)
