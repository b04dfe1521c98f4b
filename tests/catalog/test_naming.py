"""Spellings: valid, distinct, reversible, and independent of order and of what else there is."""

from __future__ import annotations

import ast
import keyword
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from RestrictedPython import compile_restricted_eval
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from planact_server.catalog.naming import (
    LONGEST,
    REFUSED_ATTRIBUTES,
    RESERVED,
    identifier,
    parameter_names,
    server_names,
    tool_names,
)

FULLWIDTH_CLASS, FULLWIDTH_IF, FULLWIDTH_UNDERSCORES = "\uff43lass", "\uff49f", "\uff3f\uff3fx"
awkward = st.sampled_from(
    (
        *(
            "",
            "_",
            "__",
            "class",
            "class_",
            "_class",
            "match",
            "None",
            "print",
            "a-b",
            "a.b",
            "a_b",
            "a b",
            "3d",
            "_3d",
        ),
        *("\ufb01le", "file", "\xe9", "e\u0301", "\u0301", "\xba", "\xb7x", "日本", "🙂", "\ud83d", "a" * 300),
        *("__roles__", "x__roles__", "__init__", "f_code", "search_tools", "search_tools_", "tool", "tool_3d"),
        *("a_b_3f9a", FULLWIDTH_CLASS, FULLWIDTH_IF, FULLWIDTH_UNDERSCORES),
    )
)
raw_names = awkward | st.text(max_size=12) | st.text("abc_-.1 ", max_size=4)
tables = st.lists(raw_names, max_size=12)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("git_status", "git_status"),
        ("get-36kr-trending", "get_36kr_trending"),
        ("spotify.play", "spotify_play"),
        ("createIssue", "createIssue"),
        ("from", "from_"),
        ("match", "match"),
        ("3d_model", "tool_3d_model"),
        ("", "tool"),
        ("!!!", "tool"),
        ("_private", "private"),
        ("__class__", "class__"),
        ("天气", "天气"),
        ("\ufb01nd", "find"),
        (FULLWIDTH_IF, "if_"),
        ("x__roles__", "x__roles___"),
        ("f_code", "f_code_"),
        ("two words", "two_words"),
    ],
)
def test_a_lone_tool_name_is_spelled(raw: str, name: str) -> None:
    assert tool_names([raw]) == {raw: name}


@pytest.mark.parametrize("raw", ["print", "list", "help", "search_tools", "describe", "call_tool", "read_resource"])
def test_a_server_that_would_hide_a_builtin_or_a_helper_gets_an_underscore(raw: str) -> None:
    assert server_names([raw]) == {raw: f"{raw}_"}


def test_a_server_may_share_its_name_with_a_module() -> None:
    assert server_names(["time", "json"]) == {"time": "time", "json": "json"}


def test_the_name_that_needs_no_change_keeps_its_spelling() -> None:
    names = tool_names(["get-user", "get_user", "get.user"])

    assert names["get_user"] == "get_user"
    assert names["get-user"].startswith("get_user_")
    assert names["get.user"].startswith("get_user_")
    assert len(set(names.values())) == 3


def test_a_third_rival_does_not_take_over_a_name() -> None:
    """A plan written for two tools may fail when a third appears, but never calls another tool than it meant."""
    two = tool_names(["get-user", "get.user"])
    three = tool_names(["get-user", "get.user", "get user"])

    assert {raw: three[raw] for raw in two} == two


@given(tables, st.randoms(use_true_random=False))
def test_spellings_do_not_depend_on_order(raws: list[str], random: object) -> None:
    shuffled = list(raws)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    for spell in (server_names, tool_names, parameter_names):
        assert spell(raws) == spell(shuffled)


@given(tables)
def test_spellings_are_reversible(raws: list[str]) -> None:
    for spell in (server_names, tool_names, parameter_names):
        names = spell(raws)
        assert {name: raw for raw, name in names.items()} == {names[raw]: raw for raw in set(raws)}
        assert len(set(names.values())) == len(set(raws))


@given(tables)
def test_no_spelling_is_the_raw_name_of_another(raws: list[str]) -> None:
    """So that either name of a parameter can be looked up without asking which one it is."""
    names = parameter_names(raws)
    assert [raw for raw, name in names.items() if name != raw and name in names] == []


@given(raw_names)
def test_a_spelling_is_a_name_that_a_plan_can_say(raw: str) -> None:
    for spell in (server_names, tool_names, parameter_names):
        name = spell([raw])[raw]
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert not name.startswith("_")
        assert name == unicodedata.normalize("NFKC", name)
        assert len(name) <= LONGEST + 20
        parsed = ast.parse(f"f({name}=1)", mode="eval").body
        assert isinstance(parsed, ast.Call)
        assert parsed.keywords[0].arg == name


@given(raw_names)
def test_the_plan_language_lets_a_call_through(raw: str) -> None:
    server, tool, parameter = server_names([raw])[raw], tool_names([raw])[raw], parameter_names([raw])[raw]

    assert compile_restricted_eval(f"{server}.{tool}({parameter}=1)").errors == ()
    assert server not in RESERVED


@given(raw_names)
def test_spelling_a_spelling_changes_nothing(raw: str) -> None:
    assert identifier(identifier(raw)) == identifier(raw)


def test_the_refused_attributes_are_those_of_the_plan_language() -> None:
    assert REFUSED_ATTRIBUTES >= INSPECT_ATTRIBUTES
