"""Machines that lack a layer: the least that has to hold, and what a user may do about it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import EngineError, Limits, requirements
from planact_server.sandbox.host import EngineChoice, open_engine
from server.task_bench import bench

if TYPE_CHECKING:
    from collections.abc import Callable

linux = pytest.mark.skipif(sys.platform != "linux", reason="leaves out layers of Linux")

LIMITS = Limits(seconds=5)
NAMESPACES = (
    "user_namespace",
    "mount_namespace",
    "network_namespace",
    "ipc_namespace",
    "uts_namespace",
    "pid_namespace",
)


@linux
async def test_without_the_filter_no_plan_runs(engine_choice: EngineChoice, weaker: Callable[[str], None]) -> None:
    weaker("seccomp")
    engine = open_engine(engine_choice, limits=LIMITS, warm_workers=0)
    try:
        said = r"Missing: seccomp \(\[Errno 38\] left out\)\..*allow_weaker"
        with fail_after(20), pytest.raises(EngineError, match=said):
            await engine.worker()
        assert (engine.layers["landlock"], engine.warning) == (True, None)
    finally:
        await engine.aclose()


@linux
async def test_the_answer_says_that_no_plan_may_run(weaker: Callable[[str], None]) -> None:
    weaker("seccomp")
    async with bench(limits=LIMITS) as here:
        with fail_after(20):
            answer = await here.ask(code="x = 1")
    (error,) = answer["errors"]
    assert (answer["status"], error["type"], answer["variables"]) == ("refused", "WeakJailError", {})
    assert "allow_weaker = true" in error["message"]


@linux
async def test_a_user_may_allow_it_and_every_answer_says_so(
    engine_choice: EngineChoice, weaker: Callable[[str], None]
) -> None:
    weaker("seccomp")
    engine = open_engine(engine_choice, limits=LIMITS, warm_workers=0, allow_weaker=True)
    try:
        with fail_after(20):
            worker = await engine.worker()
            outcome = await worker.run("x = 1", host=None, limits=LIMITS)  # type: ignore[arg-type] - never asked
        assert outcome.variables == {"x": 1}
        assert engine.warning is not None
        assert "Missing: seccomp ([Errno 38] left out)." in engine.warning
    finally:
        await engine.aclose()


@linux
@pytest.mark.parametrize(
    ("layer", "missing"),
    [
        ("namespaces", dict.fromkeys(NAMESPACES, "not available: [Errno 1] forbidden")),
        ("landlock", {"landlock": "not available: [Errno 38] left out"}),
        pytest.param(
            "user_namespace",
            {
                "user_namespace": "not available: [Errno 1] forbidden",
                "pid_namespace": "one for all workers: one for each needs a user namespace",
            },
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root has other namespaces without it"),
        ),
    ],
)
async def test_without_what_containers_forbid_plans_run_and_the_layers_say_what_is_missing(
    layer: str, missing: dict[str, str], engine_choice: EngineChoice, weaker: Callable[[str], None]
) -> None:
    weaker(layer)
    engine = open_engine(engine_choice, limits=LIMITS, warm_workers=0)
    try:
        with fail_after(20):
            worker = await engine.worker()
            outcome = await worker.run("x = 1", host=None, limits=LIMITS)  # type: ignore[arg-type] - never asked
            late = await worker.run("while True: pass", host=None, limits=Limits(seconds=0.1))  # type: ignore[arg-type]
        assert (outcome.variables, late.status, engine.warning) == ({"x": 1}, "timeout", None)
        assert {name: why for name, why in engine.layers.items() if why is not True} == missing
    finally:
        await engine.aclose()


def test_each_system_has_its_own_least() -> None:
    everything = dict.fromkeys(("seccomp", "no_new_privs", "memory", "cpu", "files", "descriptors"), True)
    assert requirements.missing(everything, platform="linux") == {}
    assert requirements.missing(everything, platform="darwin") == {
        "seatbelt": "not available on this system",
        "memory_watch": "not available on this system",
    }
    assert set(requirements.missing(everything, platform="win32")) == {"job_object", "language"}
    assert set(requirements.missing(everything, platform="plan9")) == {"jail"}
