"""The planner's model inside of plans: `ask_model`, and functions that a plan left open."""

from planact_quantized import BackendInfo
from planact_server.planner import PlanningError
from planact_server.sandbox import Limits
from planact_server.sandbox.host import PooledEngine
from server.task_bench import bench

CLEAN = "def todo_clean(text):\n    return text.strip()"


async def test_ask_model_answers_in_any_plan_and_is_recorded_as_emulated(engine: PooledEngine) -> None:
    schema = {"type": "boolean"}
    async with bench(engine) as here:
        here.planner.says = True
        answer = await here.ask(code=f"angry = ask_model('A complaint?', {{'mail': 'Grr'}}, {schema!r})\nangry")
    assert (answer["status"], answer["result"], answer["function_results"]) == ("ok", True, {"ask_model": ["angry"]})
    (call,) = answer["calls"]
    call.pop("ms")
    assert call == {
        "call": 1,
        "function": "ask_model",
        "server": "planact",
        "arguments": {"instruction": "A complaint?", "data": {"mail": "Grr"}, "schema": schema},
        "line": 1,
        "bound_to": ["angry"],
        "ok": True,
        "value": True,
        "read_only": True,
        "parallel": False,
        "emulated": True,
    }
    assert here.planner.asked == [("ask_model", "A complaint?", {"mail": "Grr"}, schema)]


async def test_questions_to_the_model_count_as_calls() -> None:
    async with bench(limits=Limits(calls=3)) as here:
        here.planner.says = "x"
        answer = await here.ask(code="for n in range(9): ask_model(f'question {n}')")
    assert (answer["status"], len(answer["calls"])) == ("limit", 3)


async def test_a_model_without_an_answer_is_a_tool_error_that_a_plan_may_catch(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.planner.says = PlanningError("no model is installed", hint="planact models setup")
        caught = await here.ask(code="try:\n    ask_model('Hi')\nexcept ToolError as e:\n    x = (e.server, e.message)")
        raised = await here.ask(code="ask_model('Hi')")
    assert caught["variables"]["x"] == ["planact", "no model is installed"]
    facts = {key: raised["errors"][0][key] for key in ("type", "message", "hint", "call", "line")}
    assert facts == {
        "type": "ToolError",
        "message": "no model is installed",
        "hint": "planact models setup",
        "call": 1,
        "line": 1,
    }


async def test_usage_counts_every_question_and_every_function_that_is_written(engine: PooledEngine) -> None:
    async with bench(engine, open_names=True) as here:
        here.planner.says, here.planner.functions = 1, {"todo_clean": CLEAN}
        none = await here.ask(code="1")
        asked = await here.ask(code="ask_model('Hi') + ask_model('Ho')")
        grown = await here.task("1 / 0", "ask_model('Hi')\ntodo_clean(' a ')")
    assert "usage" not in none
    assert [(each["usage"]["model"], each["usage"]["requests"]) for each in (asked, grown)] == [("scripted", 2)] * 2
    assert asked["usage"]["generated_tokens"] == 6


async def test_data_that_go_to_another_host_are_a_warning_in_any_answer(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.planner.info = BackendInfo(kind="openai", model="big", device="models.example.org", local=False)
        asked = await here.ask(code="ask_model('Hi')")
        told = await here.task("ask_model('Hi')")
        none = await here.ask(code="1")
    assert (asked["warnings"], told["warnings"]) == (
        ["The planner is on another host: models.example.org."],
        ["The planner is on another host: models.example.org."],
    )
    assert "warnings" not in none


async def test_without_a_planner_ask_model_says_so(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.executor._generations.current.planner = None
        answer = await here.ask(code="ask_model('Hi')")
        task = await here.ask(task="do it")
    assert "needs the on-device planner" in answer["errors"][0]["message"]
    assert task["errors"][0]["parameter"] == "task"


async def test_wrong_arguments_of_ask_model_are_told(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        empty = await here.ask(code="ask_model(' ')")
        schema = await here.ask(code="ask_model('Hi', schema=[1])")
        number = await here.ask(code="ask_model(5)")
    assert [each["errors"][0]["type"] for each in (empty, schema, number)] == ["TypeError"] * 3
    assert schema["errors"][0]["parameter"] == "schema"
    assert here.planner.asked == []


async def test_in_a_rehearsal_the_model_is_not_asked_and_the_answer_fits_the_schema(engine: PooledEngine) -> None:
    trials = []

    async def rehearse(ground) -> None:
        plan = "a = ask_model('How many?', schema={'type': 'integer'})\nb = ask_model('Which?')"
        trials.append(await ground.rehearse(plan))

    async with bench(engine) as here:
        await here.task(rehearse, "1")
    made_up = trials[0].outcome.variables
    assert (type(made_up["a"]), type(made_up["b"])) == (int, str)
    assert here.planner.asked == [("task", "do it")]


async def test_a_function_that_a_plan_left_open_is_written_and_shown_behind_the_plan(engine: PooledEngine) -> None:
    plan = "words = [todo_clean(word) for word in [' a ', 'b ']]\nwords"
    async with bench(engine, open_names=True) as here:
        here.planner.functions = {"todo_clean": CLEAN}
        answer = await here.task(plan)
    assert (answer["status"], answer["result"]) == ("ok", ["a", "b"])
    assert answer["plan"] == f"{plan}\n\n# Written while the plan ran:\n\n{CLEAN}\n"
    assert ("expand", "todo_clean", {"argument_1": " a "}, 1) in here.planner.asked


async def test_an_error_in_a_written_function_points_into_the_plan_of_the_answer(engine: PooledEngine) -> None:
    async with bench(engine, open_names=True) as here:
        here.planner.functions = {
            "todo_outer": "def todo_outer(n):\n    return todo_inner(n)",
            "todo_inner": "def todo_inner(n):\n    m = n\n    return m / 0",
        }
        answer = await here.task("x = 5\ntodo_outer(x)")
    (error,) = answer["errors"]
    assert (error["type"], error["code_line"]) == ("ZeroDivisionError", "return m / 0")
    assert answer["plan"].split("\n")[error["line"] - 1].strip() == error["code_line"]


async def test_the_attempts_show_what_was_written_for_them(engine: PooledEngine) -> None:
    async with bench(engine, open_names=True) as here:
        here.planner.functions = {"todo_clean": CLEAN}
        answer = await here.task("todo_clean(' a ')\n1/0", "todo_clean(' b ')")
    assert [CLEAN in each["plan"] for each in answer["attempts"]] == [True, True]
    assert [entry[0] for entry in here.planner.asked] == ["task", "expand", "expand"]


async def test_a_function_that_nobody_can_write_is_an_error_with_the_reason(engine: PooledEngine) -> None:
    async with bench(engine, open_names=True) as here:
        answer = await here.task("todo_unknown(1)")
    (error,) = answer["errors"]
    reason = "todo_unknown() is not defined, and could not be written: nobody knows todo_unknown"
    assert (error["type"], error["message"], error["hint"]) == ("NameError", reason, "Define it.")


async def test_only_plans_of_the_planner_may_leave_functions_open_and_only_where_that_is_on(
    engine: PooledEngine,
) -> None:
    async with bench(engine, open_names=True) as here:
        hosts = await here.ask(code="todo_clean(' a ')")
        mistake = await here.task("clean_up(' a ')")
    async with bench(engine) as here:
        off = await here.task("todo_clean(' a ')")
    assert [each["status"] for each in (hosts, mistake, off)] == ["refused"] * 3


async def test_the_number_of_written_functions_is_limited(engine: PooledEngine) -> None:
    async with bench(engine, open_names=True) as here:
        names = [f"todo_f{number}" for number in range(30)]
        here.planner.functions = {name: f"def {name}():\n    return 1" for name in names}
        answer = await here.task("\n".join(f"{name}()" for name in names))
    (error,) = answer["errors"]
    assert (error["type"], error["line"]) == ("NameError", 21)
    assert "20 functions have been written for this plan already" in error["message"]
