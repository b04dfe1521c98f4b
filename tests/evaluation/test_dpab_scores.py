"""What a plan is worth in DPAB: as published, and by what it called."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from evaluation.making import LIMITS, engine, item, row, write
from planact_server.evaluation.dpab import DPABError, read_items
from planact_server.evaluation.evaluating import observed_score
from planact_server.evaluation.mocked import mock_ground
from planact_server.evaluation.plans import published_code
from planact_server.evaluation.published import published_score
from planact_server.evaluation.scoring import Score, accuracy, score
from planact_server.planner import Trial
from planact_server.sandbox import Limits
from planact_server.sandbox.host import PooledEngine, open_engine

ORDER = {"items": ["tea"], "total": 0.3, "ok": True}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all tests here, so that they can share a sandbox."""
    return "asyncio"


@pytest.fixture(scope="module")
async def workers(anyio_backend: str) -> AsyncIterator[PooledEngine]:
    workers = open_engine(limits=LIMITS, warm_workers=1)
    yield workers
    await workers.aclose()


async def judged(
    workers: PooledEngine, folder: Path, plan: str, limits: Limits = LIMITS, **options: object
) -> tuple[Score, Score, Trial]:
    """Return both scores of a plan, and how it went as a plan of Planact's."""
    one = item(folder, **options)
    with anyio.fail_after(60):
        async with mock_ground(one, engine=workers, limits=limits) as ground:
            published, _ = await published_score(one, plan, engine=workers, limits=limits)
            trial = await ground.attempt(plan)
    return published, observed_score(one, trial), trial


PLANS = [
    ('p = price("tea", "EUR")\no = order(["tea"], 0.3)', 1.0, 1.0, "all"),
    ('p = price("tea")\no = order(items=["tea"], total=0.3)', 1.0, 1.0, "a default is left out"),
    ('p = price("tea", "EUR")', 0.5, 0.5, "half of both"),
    ('price("tea")\norder(["tea"], 0.3)', 0.0, 1.0, "nothing bound"),
    ("p = 0.3\no = {'items': ['tea'], 'total': 0.3, 'ok': 1}", 1.0, 0.0, "values without calls"),
    ("p = 0.3000009", 0.5, 0.0, "floats within the tolerance"),
    ("p = 0.30001", 0.0, 0.0, "floats outside of it"),
    ('p = [0.3, order(["tea"], 0.3)]', 0.0, 0.5, "values inside of others do not count"),
    ('p = price("tea")\no = order(["tea"], p)', 0.5, 1.0, "no tolerance inside of a dict"),
    ('p = price("tea")\no = order(["tea"], 0.3)\n1 / 0', 1.0, 1.0, "an error afterwards is nothing"),
    ('1 / 0\np = price("tea")', 0.0, 0.0, "an error before is"),
    ('o = order(["tea"], 0.3)\np = price("")', 0.5, 0.5, "a function that raises gave no result"),
    ('def f():\n    return price("tea")\nfor _ in [1]:\n    x = f()', 0.5, 0.5, "calls from functions"),
    ('isinstance = abs = float = None\np = price("tea")', 0.5, 0.5, "shadowed builtins"),
    ("this is prose", 0.0, 0.0, "no Python"),
    ("", 0.0, 0.0, "nothing"),
]


async def test_both_scores_follow_the_published_rule(workers: PooledEngine, tmp_path: Path) -> None:
    one = item(tmp_path, functions=["price", "order"], values=[0.3, ORDER])
    found: dict[str, tuple[Score, Score]] = {}
    with anyio.fail_after(60):
        async with mock_ground(one, engine=workers, limits=LIMITS) as ground:
            for plan, _, _, name in PLANS:
                published, _ = await published_score(one, plan, engine=workers, limits=LIMITS)
                found[name] = (published, observed_score(one, await ground.attempt(plan)))
    assert found == {name: (Score(values=v, functions=f),) * 2 for _, v, f, name in PLANS}


def test_only_a_whole_score_counts_strictly() -> None:
    scores = [Score(values=1.0, functions=1.0), Score(values=0.5, functions=1.0), Score(values=0.0, functions=1.0)]
    assert [(each.total, each.strict) for each in scores] == [(1.0, 1), (0.75, 0), (0.5, 0)]


async def test_an_unknown_name_is_refused_by_planact_and_fails_late_in_the_published_way(
    workers: PooledEngine, tmp_path: Path
) -> None:
    """With `exec` everything before the unknown name has run; Planact runs nothing, and says what is wrong."""
    plan = 'p = price("tea")\nunknown(p, key=1)'
    published, observed, trial = await judged(workers, tmp_path, plan, functions=["price"], values=[0.3])
    assert published.strict == 1
    assert observed == Score(values=0.0, functions=0.0)
    assert trial.outcome.status == "refused"


async def test_published_values_keep_their_python_types(workers: PooledEngine, tmp_path: Path) -> None:
    """A tuple is no list for the authors; Planact's answers are JSON, where it is one."""
    published, observed, _ = await judged(workers, tmp_path, "p = pair(1)", functions=["pair"], values=[[1, 2]])
    assert published == Score(values=0.0, functions=1.0)
    assert observed == Score(values=1.0, functions=1.0)


async def test_arguments_are_checked_as_for_any_tool(workers: PooledEngine, tmp_path: Path) -> None:
    published, observed, trial = await judged(workers, tmp_path, 'p = pair("1" * 2)', functions=["pair"], values=[])
    assert [error.type for error in trial.outcome.errors] == ["TypeError"]
    assert published == observed == Score(values=1.0, functions=0.0)


async def test_calls_are_recorded_with_arguments_and_failures(workers: PooledEngine, tmp_path: Path) -> None:
    plan = 'p = price(item="tea")\ntry:\n    price("")\nexcept ToolError as error:\n    said = str(error)'
    _, _, trial = await judged(workers, tmp_path, plan, functions=[], values=[])
    assert [(each.function, each.arguments, each.ok, each.error) for each in trial.calls] == [
        ("price", {"item": "tea"}, True, None),
        ("price", {"item": ""}, False, "ValueError: An item must be given."),
    ]
    assert "An item must be given." in str(trial.outcome.variables["said"])


@pytest.mark.parametrize("plan", ["p = price('tea')\nforever()", "p = price('tea')\nwhile True:\n    pass"])
@pytest.mark.check
async def test_what_never_ends_is_stopped_and_what_was_done_counts(
    workers: PooledEngine, tmp_path: Path, plan: str
) -> None:
    published, observed, _ = await judged(
        workers, tmp_path, plan, limits=Limits(seconds=1), functions=["price"], values=[0.3]
    )
    assert (published.strict, observed.strict) == (1, 1)


async def test_a_filled_memory_costs_the_item_only(tmp_path: Path) -> None:
    plan = "x = []\nwhile True:\n    x.append('x' * 1_000_000)"
    limits = Limits(seconds=5, memory_bytes=64 * 2**20)
    async with engine(limits) as workers:
        published, observed, trial = await judged(
            workers, tmp_path, plan, limits=limits, functions=["price"], values=[0.3]
        )
    assert published == observed == Score(values=0.0, functions=0.0)
    assert trial.outcome.status in ("limit", "error")


@pytest.mark.parametrize("mocks", ["def price(:", "import os\ndef price(item): return os.getcwd()", "1 / 0"])
async def test_functions_that_the_jail_does_not_take_are_errors_of_their_item(
    workers: PooledEngine, tmp_path: Path, mocks: str
) -> None:
    plan = 'p = price("tea", "EUR")'
    published, observed, trial = await judged(workers, tmp_path, plan, functions=["price"], values=[], mocks=mocks)
    assert published.functions == observed.functions == 0
    assert trial.calls[0].error is not None


async def test_a_function_cannot_reach_out_of_the_jail(workers: PooledEngine, tmp_path: Path) -> None:
    """It is a stranger's code like any plan: what the plan language has not, it has not either."""
    marker = tmp_path / "reached"
    mocks = f"def price(item):\n    return open({str(marker)!r}, 'w')"
    await judged(workers, tmp_path, 'p = price("tea")', functions=["price"], values=[], mocks=mocks)
    assert not marker.exists()


def test_empty_checklists_count_as_found() -> None:
    from planact_server.evaluation.dpab import Checklist

    nothing = Checklist(functions=(), values=())
    assert score(nothing, values_found=[], functions=()) == Score(values=1.0, functions=1.0)


def test_accuracy_is_rounded_as_published() -> None:
    assert accuracy([1, 0, 0]) == 33.33
    assert accuracy([]) == 0.0


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("Think.\n```python\na = 1\n```\nThen\n```python\nb = 2\n```", "\na = 1\n\n\nb = 2\n"),
        ("a = 1", "a = 1"),
        ("```\na = 1\n```", ""),
        ("```python\nnever closed", ""),
    ],
)
def test_code_is_taken_out_as_published(completion: str, code: str) -> None:
    assert published_code(completion) == code


def test_tools_are_described_with_what_the_stubs_and_the_code_tell(tmp_path: Path) -> None:
    tool = item(tmp_path, functions=[], values=[]).tools[0]
    assert tool.description == "About price.\n\nReturns: The price."
    assert tool.input_schema["required"] == ["item"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1 is no JSON"),
        ("\n{}", "line 2 is no row of DPAB: function_schema_python"),
        ('{"checklist": 1}', "is no row of DPAB"),
    ],
)
def test_files_that_are_no_benchmark_name_the_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(DPABError, match=words):
        read_items(path)


def test_rows_keep_their_number_and_digest(tmp_path: Path) -> None:
    rows = [row(functions=[], values=[1]), row(functions=[], values=[2])]
    items = read_items(write(tmp_path / "two.jsonl", *rows))
    assert [each.row for each in items] == [0, 1]
    assert items[0].digest != items[1].digest
