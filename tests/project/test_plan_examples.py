"""The plans in the documents do what is written beside them."""

import ast
import re
from pathlib import Path

import anyio
import pytest

from planact_server.app import open_app
from planact_server.config import load_config
from planact_server.request import PlanRequest
from planact_server.server import LOCAL_CLIENT

CHECKOUT = Path(__file__).parents[2]
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PLANS = [
    block for name in ("docs/plans.md", "README.md") for block in FENCE.findall((CHECKOUT / name).read_text("utf-8"))
]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The example's packs, and everything allowed."""
    file = tmp_path / "planact.toml"
    pack = (CHECKOUT / "examples" / "my_pack.py").as_posix()
    file.write_text(f'packs = ["calendar", "files", "{pack}"]\n[policy]\ndefault = "allow"\ntrust = ["*"]\n')
    return file


async def test_every_plan_comes_to_what_is_written_beside_it(configuration: Path, tmp_path: Path) -> None:
    config = load_config(config_file=configuration, environ=own(tmp_path), cwd=tmp_path)
    assert len(PLANS) > 8
    with anyio.fail_after(30):
        async with open_app(config) as app:
            for plan in PLANS:
                answer = (await app.executor.execute(PlanRequest(code=plan), client=LOCAL_CLIENT)).answer
                promised = re.search(r"# → (.*)$", plan, re.MULTILINE)
                assert came_to(answer, promised and promised[1]), (plan, answer)


async def test_the_example_configuration_is_read_and_its_pack_loads(tmp_path: Path) -> None:
    file = CHECKOUT / "examples" / "planact.toml"
    config = load_config(config_file=file, environ=own(tmp_path), cwd=tmp_path)
    plan = 'add_expense("tea", 400, "JPY")\nlist_expenses()'
    with anyio.fail_after(30):
        async with open_app(config) as app:
            answer = (await app.executor.execute(PlanRequest(code=plan), client=LOCAL_CLIENT)).answer
            held_back = (
                await app.executor.execute(PlanRequest(code="files.list_directory()"), client=LOCAL_CLIENT)
            ).answer
            assert app.problems == ()
            assert app.unmatched_patterns() == ()
    assert (answer["status"], answer["result"]) == ("ok", [{"what": "tea", "euros": 2.5}])
    assert held_back["status"] == "denied"


def came_to(answer: dict, promised: str | None) -> bool:
    if promised is None:
        return answer["status"] == "ok"
    if answer["status"] == "ok":
        return answer["result"] == ast.literal_eval(promised)
    error = answer["errors"][0]
    return f"{error['type']}: {error['message']}".startswith(promised)


def own(folder: Path) -> dict[str, str]:
    """An environment in which nothing of the user's own configuration is found."""
    return {name: str(folder / name) for name in ("PLANACT_HOME", "XDG_CONFIG_HOME", "HOME")}
