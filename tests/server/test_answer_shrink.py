"""Cutting an answer to a budget: what holds for every answer, and what the cuts look like."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from example_counts import examples
from planact_server.answer import CallRecord, build_answer, shrink, value_at
from planact_server.plain_json import is_large, json_text, text_in_pieces
from planact_server.sandbox import RESULT, Outcome, PlanError
from planact_tools import JSONObject, JSONValue

SESSION, RUN = "s_" + "5f" * 16, "r_" + "91" * 16


def link(path: str) -> str:
    return f"planact://runs/{RUN}/{path}"


def text(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def answer(**parts: JSONValue) -> JSONObject:
    empty = {"function_results": {}, "variables": {}, "calls": [], "output": "", "errors": []}
    return {"status": "ok", "session": SESSION, "run": RUN, **empty, **parts}


def calls(count: int, value: JSONValue) -> list[CallRecord]:
    return [
        CallRecord(
            call=number,
            function="read",
            server="files",
            arguments={"path": f"/data/{number}.txt"},
            line=2,
            bound_to=("text",),
            ok=True,
            value=value,
            ms=1.5,
            read_only=True,
        )
        for number in range(1, count + 1)
    ]


def nested(levels: int) -> JSONValue:
    value: JSONValue = "core"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def levels_of(value: JSONValue) -> int:
    deepest, waiting = 0, [(value, 0)]
    while waiting:
        item, level = waiting.pop()
        deepest = max(deepest, level)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        waiting += [(each, level + 1) for each in inner]
    return deepest


def test_an_answer_that_fits_is_sent_as_it_is() -> None:
    whole = answer(variables={"z": [1, 2, 3]}, output="é" * 500)
    assert shrink(whole, len(text(whole)), link) is whole


def test_one_character_too_many_is_enough_to_cut_the_largest_value_only() -> None:
    whole = answer(variables={"small": [1, 2, 3], "large": "x" * 2_000}, output="y" * 500)
    short = shrink(whole, len(text(whole)) - 1, link)
    assert short["output"] == "y" * 500
    assert short["variables"]["small"] == [1, 2, 3]
    assert short["truncated"] == [
        {"path": "variables/large", "size": 2_002, "resource": link("variables/large")},
    ]
    assert short["variables"]["large"].startswith("xxxx")
    assert " characters left out …" in short["variables"]["large"]


def test_a_cut_string_keeps_its_beginning_and_its_end_and_counts_the_rest() -> None:
    output = "begin " + "-" * 5_000 + " end"
    short = shrink(answer(output=output), 1_000, link)["output"]
    head, _, rest = short.partition("…")
    middle, _, tail = rest.partition("…")
    assert output.startswith(head)
    assert output.endswith(tail)
    assert middle == f" {len(output) - len(head) - len(tail)} characters left out "


def test_a_cut_list_keeps_whole_first_items_and_counts_the_rest() -> None:
    rows = [{"id": number, "name": "n" * 30} for number in range(1_000)]
    short = shrink(answer(variables={"rows": rows}), 2_000, link)
    *kept, marker = short["variables"]["rows"]
    assert kept == rows[: len(kept)]
    assert len(kept) > 20
    assert marker == f"… {1_000 - len(kept)} more"
    assert short["truncated"] == [
        {"path": "variables/rows", "size": len(text(rows)), "resource": link("variables/rows")}
    ]


def test_a_cut_object_keeps_first_keys_and_counts_the_rest() -> None:
    table: JSONObject = {f"key{number}": number for number in range(1_000)}
    short = shrink(answer(result=table), 1_000, link)["result"]
    marker = short.pop("…")
    assert short == {key: table[key] for key in list(table)[: len(short)]}
    assert marker == f"{1_000 - len(short)} more"


def test_every_variable_is_named_even_where_none_can_be_shown_whole() -> None:
    variables: JSONObject = {f"variable_{number}": "v" * 50_000 for number in range(40)}
    short = shrink(answer(variables=variables), 8_000, link)
    assert list(short["variables"]) == list(variables)
    assert [entry["path"] for entry in short["truncated"]] in (
        [f"variables/{name}" for name in variables],
        ["variables"],
    )


def test_thousands_of_calls_leave_the_first_ones_readable() -> None:
    whole = build_answer("ok", session=SESSION, run=RUN, calls=calls(5_000, "x" * 200))
    short = shrink(whole, 20_000, link)
    *kept, marker = short["calls"]
    assert kept == whole["calls"][: len(kept)]
    assert len(kept) > 40
    assert marker == f"… {5_000 - len(kept)} more"


def test_paths_lead_to_the_whole_value() -> None:
    whole = answer(variables={"a/b %é": {"inner.key": ["s" * 5_000, 1]}})
    entry = shrink(whole, 600, link)["truncated"][0]
    assert entry["path"] == "variables/a%2Fb%20%25%C3%A9/inner.key/0"
    assert value_at(whole, entry["path"]) == "s" * 5_000
    assert entry["resource"] == link(entry["path"])


def test_what_was_cut_inside_is_left_out_first_where_room_is_short_or_the_place_is_gone() -> None:
    rows = [*({"id": number, "t": "y" * 100} for number in range(500)), "... 800 more"]
    value = {"n": 1, "rows": rows, "...": "2 more"}
    left = Outcome(status="ok", result=value, has_result=True, variables={"x": value}, truncated={RESULT: 4, "x": 4})
    whole = build_answer("ok", outcome=left, run="r_1", session="s_1")
    long = {entry["path"]: entry.get("kept") for entry in shrink(whole, 20_000, "x://".__add__)["truncated"]}  # type: ignore[union-attr,index,call-overload,misc]
    assert long == {"result": 2, "result/rows": 500, "variables/x": 2, "variables/x/rows": 500}
    short = [entry["path"] for entry in shrink(whole, 1_500, "x://".__add__)["truncated"]]  # type: ignore[union-attr,index,call-overload,misc]
    assert "" not in short
    gone = [*({"k": [number]} for number in range(5_000)), {"k": ["q" * 500, "... 7 more"]}]
    left = Outcome(status="ok", result=gone, has_result=True, truncated={RESULT: 1})
    [only] = shrink(build_answer("ok", outcome=left, run="r_1"), 3_000, "x://".__add__)["truncated"]  # type: ignore[misc]
    assert only["path"] == "result"  # type: ignore[index,call-overload]


def test_what_the_worker_has_cut_inside_is_counted_when_it_is_cut_again() -> None:
    rows = [*("y" * 50 for _ in range(200)), "... 800 more"]
    left = Outcome(status="ok", result={"n": 1, "rows": rows}, has_result=True, truncated={RESULT: 2})
    whole = build_answer("ok", outcome=left, run="r_1")
    short = shrink(whole, max_chars=3_000, link=lambda path: f"x://{path}")
    *shown, last = short["result"]["rows"]  # type: ignore[index,call-overload,misc]
    assert last == f"… {1_000 - len(shown)} more"
    assert short["truncated"] == [{"path": "result/rows", "size": 1_000, "kept": 200, "resource": "x://result/rows"}]


@pytest.mark.parametrize(
    "path", ["variables/none", "calls/0", "output/0", "calls/-1", "variables/", "status/x", "calls/" + "9" * 5_000]
)
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises(LookupError, match="There is nothing at"):
        value_at(answer(), path)


def test_without_a_run_there_is_no_address() -> None:
    whole = answer(output="x" * 5_000)
    del whole["run"]
    assert shrink(whole, 1_000, link)["truncated"] == [{"path": "output", "size": 5_002}]


def test_what_the_worker_could_not_export_stays_listed() -> None:
    whole = build_answer(
        "ok", session=SESSION, run=RUN, outcome=Outcome(status="ok", output="x" * 9_000, truncated={"big": 99})
    )
    assert shrink(whole, 1_000, link)["truncated"] == [
        {"path": "variables/big", "size": 99},
        {"path": "output", "size": 9_002, "resource": link("output")},
    ]


def test_what_was_cut_twice_is_listed_once_with_the_size_it_had_at_first() -> None:
    exported = Outcome(status="ok", variables={"big": "x" * 9_000}, truncated={"big": 99_000})
    whole = build_answer("ok", session=SESSION, run=RUN, outcome=exported)
    assert shrink(whole, 1_000, link)["truncated"] == [
        {"path": "variables/big", "size": 99_000, "resource": link("variables/big")}
    ]


def test_a_tiny_budget_keeps_status_handles_and_the_kind_of_error() -> None:
    error = PlanError(type="IndexError", message="list index out of range" * 50, line=4, code_line="z[5]" * 99)
    whole = build_answer(
        "error",
        session=SESSION,
        run=RUN,
        outcome=Outcome(status="error", errors=(error,), output="o" * 999, variables={"z": "z" * 999}),
        calls=calls(9, "v"),
    )
    short = shrink(whole, 200, link)
    assert {key: short[key] for key in ("status", "session", "run")} == {
        "status": "error",
        "session": SESSION,
        "run": RUN,
    }
    assert short["errors"] == [{"type": "IndexError", "…": "3 more"}]
    assert short["truncated"] == [{"path": "", "size": len(text(whole))}]
    assert len(text(short)) <= 220


def test_the_error_is_readable_where_everything_else_is_huge() -> None:
    error = PlanError(type="ValueError", message="no such row: 17", line=3, column=1, code_line="check(rows)")
    whole = build_answer(
        "error",
        session=SESSION,
        run=RUN,
        outcome=Outcome(status="error", errors=(error,), output="o" * 10**6, variables={"z": list(range(10**5))}),
        calls=calls(500, "v" * 1_000),
    )
    assert shrink(whole, 1_000, link)["errors"] == whole["errors"]


@pytest.mark.parametrize("budget", [1_000, 5_000, 20_000, 100_000])
def test_the_budget_is_used(budget: int) -> None:
    whole = build_answer(
        "ok",
        session=SESSION,
        run=RUN,
        outcome=Outcome(status="ok", output="line\n" * 50_000, variables={"rows": [{"id": n} for n in range(20_000)]}),
        calls=calls(1_000, "v" * 300),
    )
    assert len(text(shrink(whole, budget, link))) > 0.75 * budget


def test_cutting_a_large_answer_is_quick() -> None:
    whole = build_answer(
        "ok",
        session=SESSION,
        run=RUN,
        outcome=Outcome(status="ok", variables={"rows": [{"id": n, "name": "n" * 20} for n in range(100_000)]}),
        calls=calls(1_000, {"rows": ["v" * 100] * 50}),
    )
    began = time.process_time()
    shrink(whole, 20_000, link)
    assert time.process_time() - began < 5


def test_what_json_cannot_carry_becomes_text() -> None:
    whole = answer(
        variables={"nan": math.nan, "inf": -math.inf, "half": "a\ud800b", "k\udfff": 1, "many": 7 << 20_000, "t": (1,)}
    )
    variables = shrink(whole, 20_000, link)["variables"]
    assert variables == {
        "nan": "nan",
        "inf": "-inf",
        "half": "a\\ud800b",
        "k\\udfff": 1,
        "many": hex(7 << 20_000),
        "t": [1],
    }


@pytest.mark.parametrize("levels", [98, 101, 900, 50_000])
def test_nesting_that_hosts_cannot_parse_is_cut(levels: int) -> None:
    short = shrink(answer(variables={"deep": nested(levels), "flat": "[" * 300}), 20_000, link)
    assert levels_of(short) <= 100
    assert short["variables"]["flat"] == "[" * 300
    assert ("nested too deeply" in text(short)) == (levels > 98)


def test_a_key_of_its_own_that_looks_like_the_marker_counts_as_left_out() -> None:
    table: JSONObject = {"…": "mine", "a": 1, "b": "x" * 2_000}
    short = shrink(answer(variables=table), 700, link)["variables"]
    assert short["…"] == "1 more"
    assert short["a"] == 1


# Characters of one, two and six places in a JSON string, and of one to four bytes.
letters = st.sampled_from(["a", '"', "\\", "\n", "\0", "é", "…", "🐍", "\u2028", "/", "%"])
short_texts = st.text(letters, max_size=12)
texts = st.one_of(
    short_texts, st.builds(lambda s, n: s * n, st.text(letters, min_size=1, max_size=5), st.integers(0, 100))
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**1200, -(10**900)]), st.floats(), texts
)
keys = st.one_of(short_texts, st.builds(lambda s, n: s * n, short_texts, st.integers(0, 300)))


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(children, max_size=6)
    return st.one_of(
        lists,
        st.builds(lambda items, n: items * n, lists, st.integers(0, 8)),
        st.dictionaries(keys, children, max_size=8),
        st.builds(lambda child, n: {f"k{i}": child for i in range(n)}, children, st.integers(0, 8)),
    )


values = st.recursive(scalars, containers, max_leaves=6)
deep = st.builds(lambda levels, tail: _wrap(tail, levels), st.integers(0, 200), values)
any_value = st.one_of(values, deep)
some_errors = st.lists(
    st.builds(lambda t, m, h: {"type": t, "message": m, "hint": h}, short_texts, texts, texts), max_size=30
)
answers = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "error", "approval_required", "refused"]),
        "session": st.just(SESSION),
        "run": st.just(RUN),
        "function_results": st.dictionaries(keys, st.lists(short_texts, max_size=5), max_size=10),
        "variables": st.dictionaries(keys, any_value, max_size=10),
        "calls": st.builds(
            lambda value, n: [{"call": i, "function": "f", "value": value, "ok": True} for i in range(n)],
            values,
            st.integers(0, 20),
        ),
        "output": texts,
        "errors": some_errors,
    },
    optional={
        "result": any_value,
        "pending": any_value,
        "plan": texts,
        "warnings": st.lists(texts, max_size=4),
        "truncated": st.lists(st.builds(lambda p: {"path": p, "size": 9}, keys), max_size=5),
        "recovered": any_value,
    },
)


def _wrap(value: JSONValue, levels: int) -> JSONValue:
    for level in range(levels):
        value = [value, level] if level % 2 else {"in": value}
    return value


def check_the_cut(whole: JSONObject, budget: int) -> None:
    before = repr(whole)
    short = shrink(whole, budget, link)
    sent = text(short)
    assert len(sent) <= max(budget, 200) * 1.1
    assert json.loads(sent) == short
    sent.encode()
    assert levels_of(short) <= 100
    assert {key: short[key] for key in ("status", "session", "run")} == {
        key: whole[key] for key in ("status", "session", "run")
    }
    assert bool(short["errors"]) == bool(whole["errors"]) or "errors" not in short
    assert "errors" in short
    assert set(short) <= {*whole, "truncated"}
    assert [key for key in whole if key in short and key != "truncated"] == [key for key in short if key != "truncated"]
    assert repr(whole) == before
    for entry in short.get("truncated", []):
        if "resource" in entry:
            value_at(json.loads(json.dumps(whole)), entry["path"])
    assert shrink(whole, budget, link) == short


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(answers, st.one_of(st.integers(0, 1_500), st.integers(0, 20_000)))
@example(answer(), 0)
@example(answer(variables={"k" * 100_000: {"…" * 50_000: 1}}), 200)
@example(answer(function_results={"\0" * 5_000: ["\0" * 5_000] * 50}), 200)
@example(answer(variables={"a": [{}] * 10_000, "b": {"…": "x" * 9_000, "……": 2}}), 300)
def test_every_answer_fits_every_budget(whole: JSONObject, budget: int) -> None:
    check_the_cut(whole, budget)


@pytest.mark.check
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(answers, st.one_of(st.integers(0, 1_500), st.integers(0, 40_000)))
def test_thousands_of_answers_fit_their_budgets(whole: JSONObject, budget: int) -> None:
    check_the_cut(whole, budget)


@settings(
    max_examples=examples(0.5), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(answers)
def test_what_was_cut_is_listed_at_its_place_or_above(whole: JSONObject) -> None:
    short = shrink(whole, 2_000, link)
    if len(text(short)) >= 2_000 or "truncated" not in short:
        return
    listed = {entry["path"].split("/")[0] for entry in short["truncated"]}
    sound = shrink(whole, 10**9, link)
    for key in sound:
        if key != "truncated" and short.get(key) != sound[key]:
            assert key in listed or "" in listed


HUGE = {
    "text that looks like nesting": ',[{"\\' * 1_000_000,
    "many numbers": [1.5] * 300_000,
    "many chains": [nested(99) for _ in range(2_000)],
    "few chains of much": [[[[[[list(range(30_000))]]]]]] * 8,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_values_made_to_be_slow_are_cut_in_a_moment(value: JSONValue) -> None:
    begun = time.process_time()
    short = shrink(answer(result=value), 20_000, link=link)

    assert len(text(short)) <= 20_000
    assert time.process_time() - begun < 5  # seconds of CPU time; it was 20 and more


def test_large_is_what_takes_long_to_look_through() -> None:
    assert not is_large({"a": [1, 2, {"b": "text"}]})
    assert is_large([0] * 20_000)
    assert is_large({"a": ["x" * 600_000, {"b": "x" * 600_000}]})


PIECES: dict[str, Any] = {
    **HUGE,
    "many keys": {f"key {n}": n for n in range(100_000)},
    "keys of any kind": dict.fromkeys(range(20000)) | {None: 1, True: 2, 0.5: 3},
    "a large value among small ones": {"a": 1, "b": [{"c": list(range(20_000))}, (1, 2)], "d": {}},
}


@pytest.mark.parametrize("value", PIECES.values(), ids=PIECES)
def test_no_large_value_is_written_in_one_go(value: Any) -> None:
    pieces = list(text_in_pieces(value))

    assert "".join(pieces) == json.dumps(value, ensure_ascii=False)
    assert max(map(len, pieces)) < 300_000 or isinstance(value, str)


def test_cutting_a_large_answer_lets_others_run() -> None:
    whole = answer(variables={f"key {n}": n for n in range(100_000)})
    written: list[int] = []
    encode = json.JSONEncoder.encode

    def noted(encoder: json.JSONEncoder, value: object) -> str:
        text = encode(encoder, value)
        written.append(len(text))
        return text

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json.JSONEncoder, "encode", noted)
        json_text(shrink(whole, 20_000, link))

    assert max(written) < 300_000
