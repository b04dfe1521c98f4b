"""Commands in what is said to people can be pasted, however Planact was started."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from planact_server.cli.place import as_usable, name_used, own_command
from planact_testing import Home


@pytest.fixture(autouse=True)
def fresh() -> None:
    name_used.cache_clear()


def test_only_commands_of_ours_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.cli.place.name_used", lambda: ".venv/bin/planact")
    assert as_usable("Another planact is here; `planact models fit m`, then: planact trust /opt/planact run") == (
        "Another planact is here; `.venv/bin/planact models fit m`, then: .venv/bin/planact trust /opt/planact run"
    )


@pytest.mark.skipif(len(own_command()) > 1, reason="this installation has no script")
async def test_a_hint_names_what_was_typed_where_the_shell_does_not_know_planact(home: Home) -> None:
    script = Path(own_command()[0])
    typed = os.path.relpath(script, home.work)
    elsewhere = {**home.environment, "PATH": str(home.work)}
    said: list[str] = []
    for command, environment in (
        ([typed], elsewhere),
        ([sys.executable, "-P", "-m", "planact_server"], elsewhere),
        ([str(script)], home.environment),
    ):
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [*command, "models", "info", "nobody"], check=False, env=environment, cwd=home.work
            )
        said.append(done.stderr.decode().partition("`")[2].partition(" models list`")[0])
    assert said == [typed, str(script), "planact"]
