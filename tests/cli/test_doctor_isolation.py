"""What doctor says about the jail."""

from __future__ import annotations

import sys

import pytest

from planact_server.cli.doctor_isolation import examine_isolation
from planact_server.cli.finding import Finding

linux = pytest.mark.skipif(sys.platform != "linux", reason="advises about Linux's layers")


@linux
def test_layers_in_force_are_listed_with_the_engine_as_the_configuration_calls_it() -> None:
    found = examine_isolation({"process": True, "seccomp": True}, engine="zygote", weaker=False)

    assert found == [Finding(level="ok", subject="isolation", text="engine fork, in force: process, seccomp")]


@linux
def test_layers_that_are_missing_for_one_reason_are_one_finding() -> None:
    forbidden = "not available: [Errno 1] Operation not permitted"
    layers = {"user_namespace": forbidden, "landlock": forbidden, "pid_namespace": forbidden, "seccomp": True}

    _, *absent = examine_isolation({**layers}, engine="spawn", weaker=False)

    assert absent == [
        Finding(
            level="note",
            subject="isolation",
            text=f"user_namespace, pid_namespace: {forbidden}",
            advice="A container or a setting of the kernel forbids user namespaces;"
            " the other layers hold without them.",
        ),
        Finding(
            level="note",
            subject="isolation",
            text=f"landlock: {forbidden}",
            advice="Linux has it since 5.13, where it is switched on; the other layers hold without it.",
        ),
    ]


def test_a_jail_that_is_too_weak_is_a_problem_also_where_it_is_allowed() -> None:
    allowed, *_ = examine_isolation({"seccomp": "left out"}, engine="fork", weaker=True)
    refused, *_ = examine_isolation({"worker": "No plan is run.", "seccomp": "left out"}, engine="fork", weaker=False)

    assert (allowed.level, refused.level, refused.text) == ("problem", "problem", "No plan is run.")
    assert "`allow_weaker` is set" in allowed.text
