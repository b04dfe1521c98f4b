"""What macOS and Windows put around a worker, as far as it can be tried elsewhere.

The systems' own libraries are stood in for by small C libraries that are compiled here: they take the calls as the
real ones do, byte by byte, and note what they got. Whether the real ones do what they promise is not shown by this.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits, job_object, memory_watch, worker
from planact_server.sandbox.jail import seatbelt
from planact_server.sandbox.job_object import ExtendedLimits, JobObject
from planact_server.sandbox.monty.source import MontySource, is_installed
from planact_server.sandbox.spawn_source import SpawnSource

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ScriptedHost
    from planact_server.sandbox.worker import JailedWorker

COMPILER = shutil.which("cc") or shutil.which("gcc")
compiles = pytest.mark.skipif(COMPILER is None or sys.platform == "win32", reason="needs a C compiler")

SEATBELT = """
#include <stdint.h>
#include <string.h>
char profile[4096]; uint64_t flags; int refuses;
int sandbox_init(const char *given, uint64_t bits, char **problem) {
    strncpy(profile, given, sizeof profile - 1); flags = bits;
    if (refuses) { *problem = "already in a sandbox"; return -1; }
    *problem = 0; return 0;
}
"""

KERNEL32 = """
#include <stdint.h>
#include <string.h>
unsigned char limits[256]; uint32_t limits_size, restrictions, opened, rights_asked; void *assigned, *assigned_to;
int closed, refuses;
void *CreateJobObjectW(void *security, void *name) { return security || name ? 0 : (void *)0x1234567812345678; }
int SetInformationJobObject(void *job, int kind, void *data, uint32_t size) {
    if (job != (void *)0x1234567812345678) return 0;
    if (kind == 9) { memcpy(limits, data, size); limits_size = size; return 1; }
    if (kind == 4 && size == 4) { memcpy(&restrictions, data, 4); return 1; }
    return 0;
}
void *OpenProcess(uint32_t rights, int inherit, uint32_t pid) {
    rights_asked = rights; opened = pid; return inherit || refuses ? 0 : (void *)0x77; }
int AssignProcessToJobObject(void *job, void *process) { assigned_to = job; assigned = process; return 1; }
int CloseHandle(void *handle) { return ++closed; }
uint32_t GetLastError(void) { return 5; }
"""


def library(folder: Path, source: str) -> ctypes.CDLL:
    assert COMPILER is not None
    (folder / "lib.c").write_text(source)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", folder / "lib.so", folder / "lib.c"], check=True)
    return ctypes.CDLL(str(folder / "lib.so"))


@compiles
def test_seatbelt_gets_the_whole_profile_and_its_refusal_is_an_error(tmp_path: Path) -> None:
    stand_in = library(tmp_path, SEATBELT)
    seatbelt.confine(stand_in)
    assert ctypes.c_char_p(ctypes.addressof(ctypes.c_char.in_dll(stand_in, "profile"))).value == (
        b"(version 1)\n(deny default)\n(allow process-info* (target self))\n(allow signal (target self))\n"
    )
    assert ctypes.c_uint64.in_dll(stand_in, "flags").value == 0
    ctypes.c_int.in_dll(stand_in, "refuses").value = 1
    with pytest.raises(OSError, match="already in a sandbox"):
        seatbelt.confine(stand_in)


def test_a_library_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        seatbelt.load(str(tmp_path / "missing.dylib"))


def kernel32(folder: Path) -> ctypes.CDLL:
    stand_in = library(folder, KERNEL32)
    stand_in.CreateJobObjectW.restype = stand_in.OpenProcess.restype = ctypes.c_void_p
    return stand_in


@compiles
def test_a_job_object_limits_memory_time_and_processes_and_ends_with_the_host(tmp_path: Path) -> None:
    kernel = kernel32(tmp_path)
    job = JobObject(4711, memory_bytes=256 * 2**20, cpu_seconds=60, kernel=kernel)

    size = ctypes.c_uint32.in_dll(kernel, "limits_size").value
    held = ExtendedLimits.from_buffer_copy((ctypes.c_ubyte * 256).in_dll(kernel, "limits"))
    assert (size, ctypes.sizeof(ExtendedLimits)) == (144, 144)
    assert held.basic.flags == 0x2000 | 0x400 | 0x100 | 0x8 | 0x2
    assert (held.basic.active_processes, held.basic.process_user_time) == (1, 600_000_000)
    assert held.process_memory == 256 * 2**20
    assert ctypes.c_uint32.in_dll(kernel, "restrictions").value == 0xFF
    assert ctypes.c_uint32.in_dll(kernel, "opened").value == 4711
    assert ctypes.c_uint32.in_dll(kernel, "rights_asked").value == 0x101
    assert ctypes.c_void_p.in_dll(kernel, "assigned").value == 0x77
    assert ctypes.c_void_p.in_dll(kernel, "assigned_to").value == 0x1234567812345678
    assert ctypes.c_int.in_dll(kernel, "closed").value == 1  # the handle on the process; the job stays
    job.close()
    job.close()
    assert ctypes.c_int.in_dll(kernel, "closed").value == 2


def test_a_job_object_around_a_driver_leaves_room_for_its_monty() -> None:
    assert job_object.limits(memory_bytes=2**30, cpu_seconds=60, processes=2).basic.active_processes == 2


@pytest.mark.skipif(not is_installed(), reason="Monty is not installed")
async def test_a_driver_of_monty_serves_without_being_forked(host: ScriptedHost) -> None:
    """As on systems that cannot fork; it has limits then where they have them, and says that this is all."""
    source = MontySource(memory_bytes=2**28, cpu_seconds=60)
    drivers = SpawnSource(lambda: source._command("driver"), memory_bytes=2**28)
    with fail_after(30):
        worker = await drivers.start()
        noted = await worker.checkpoint()
        outcome = await worker.run("x = [1]\nx", host=host, limits=Limits(seconds=10))
        await worker.rollback()
        after = await worker.run("x", host=host, limits=Limits(seconds=10))
        await worker.aclose()
    assert (noted.taken, outcome.result, after.status) == (True, [1], "refused")
    assert "no jail on this system" in str(worker.layers["driver"])


@compiles
def test_a_process_that_cannot_be_opened_leaves_no_job_behind(tmp_path: Path) -> None:
    kernel = kernel32(tmp_path)
    ctypes.c_int.in_dll(kernel, "refuses").value = 1
    with pytest.raises(OSError, match="OpenProcess failed with error 5"):
        JobObject(4711, memory_bytes=2**28, cpu_seconds=60, kernel=kernel)
    assert ctypes.c_int.in_dll(kernel, "closed").value == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the limit by itself")
async def test_a_worker_that_holds_too_much_is_killed_where_only_the_host_watches(
    raw_worker: JailedWorker, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = memory_watch.held_bytes(raw_worker.pid)
    assert held is not None
    monkeypatch.setattr(memory_watch, "WATCHED", True)
    monkeypatch.setattr(worker, "INTERPRETER_BYTES", 2**20)
    monkeypatch.setattr(raw_worker, "_memory_bytes", 2 * held)
    with fail_after(20):
        fine = await raw_worker.run("done()", host=host, limits=Limits(seconds=10))
        outcome = await raw_worker.run(f"x = b'x' * {4 * held}\nread(1)", host=host, limits=Limits(seconds=10))

    most = (2 * held + 2**20) // 2**20
    assert fine.status == "ok"
    assert (outcome.status, outcome.worker_lost) == ("limit", f"The worker held more than {most} MB; it was killed.")
    assert not raw_worker.alive
