"""A process is signalled by a descriptor: its number may be another's by then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from anyio import fail_after

from planact_server.sandbox.process import open_child

if TYPE_CHECKING:
    from planact_server.sandbox.worker import JailedWorker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has descriptors of processes")


def test_a_descriptor_is_had_of_a_child_only_and_only_until_it_was_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    pidfd = open_child(child.pid)
    assert pidfd is not None
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    child.communicate()
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, 0)
    os.close(pidfd)
    assert open_child(child.pid) is None
    assert open_child(os.getppid()) is None


async def test_a_spawned_worker_is_killed_without_its_number(raw_worker: JailedWorker) -> None:
    with patch("os.kill", side_effect=AssertionError("signalled by number")), fail_after(10):
        await raw_worker.aclose()
        exited = await raw_worker._process.exited

    assert exited.signal == signal.SIGKILL
