"""What is said before a plan runs about keys, attributes and indices that no result of a tool has had."""

from __future__ import annotations

import ast
import json
import sys
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_server.catalog.expectations import MOST_NODES, expectation
from planact_server.catalog.schemas import clean
from planact_server.catalog.shapes import joined, shape_of
from planact_server.catalog.signatures import Learned
from planact_server.sandbox import SILENT_DOUBT
from planact_server.sandbox.inside import expected, scopes
from planact_server.sandbox.inside.source import Problem, Text
from planact_tools import ToolDefinition

COMMIT = {"title": "x", "author": {"name": "y"}, "size": 1, "tags": ["t"], "merged": None}
PAGE = {"entries": [COMMIT], "total": 1, "next": "p2"}


def a_tool(**facts: Any) -> CatalogTool:
    return Catalog.build({"s": [ToolDefinition(name="t", **facts)]}).servers["s"].tools["t"]


def told(tool: CatalogTool, *results: Any) -> dict[str, Any] | None:
    """What a plan is told of a tool that has returned these."""
    learned = None
    if results:
        shape = shape_of(results[0])
        for result in results[1:]:
            shape = joined(shape, shape_of(result))
        learned = Learned(schema=clean(shape), results=len(results))
    known = expectation(tool, learned)
    return None if known is None else {"shape": known.shape, "results": known.results}


TOOLS: dict[str, Any] = {
    "commits": {"kind": "tool", "returns": told(a_tool(), [COMMIT], [COMMIT])},
    "page": {"kind": "tool", "returns": told(a_tool(), PAGE)},
    "git": {"kind": "server"},
    "git.page": {"kind": "tool", "returns": told(a_tool(), PAGE)},
    "count": {"kind": "tool", "returns": told(a_tool(), 3)},
    "gone": {"kind": "tool", "returns": told(a_tool(), None)},
    "unknown": {"kind": "tool"},
}


def doubts(plan: str, tools: dict[str, Any] = TOOLS) -> list[Problem]:
    return said(textwrap.dedent(plan), tools, known=set())


def said(source: str, tools: dict[str, Any] = TOOLS, *, known: set[str]) -> list[Problem]:
    return expected.doubts(scopes.analyse(ast.parse(source)), tools, Text(source, "<plan>"), {"print", *known})


DOUBTFUL = {
    "a key of a result": ("x = page()\nx['entrys']", "KeyError: x['entrys']"),
    "a key of a call": ("page()['entrys']", "KeyError: page()['entrys']"),
    "a server's tool": ("git.page()['entrys']", "KeyError: git.page()['entrys']"),
    "a list read like a dict": ("x = commits()\nx['title']", "TypeError: x['title']"),
    "an item": ("commits()[0]['name']", "KeyError: commits()[0]['name']"),
    "a slice": ("commits()[:3][0]['name']", "KeyError: commits()[:3][0]['name']"),
    "a loop": ("for c in commits():\n    print(c['name'])", "KeyError: c['name']"),
    "a counted loop": ("for i, c in enumerate(commits()):\n    print(c['name'])", "KeyError: c['name']"),
    "a comprehension": ("[c['name'] for c in commits()]", "KeyError: c['name']"),
    "its condition": ("[c for c in commits() if c['name']]", "KeyError: c['name']"),
    "what a comprehension kept": ("x = [c for c in commits() if c['size']]\nx[0]['name']", "KeyError: x[0]['name']"),
    "sorting": ("sorted(commits(), key=lambda c: c['date'])", "KeyError: c['date']"),
    "the largest": ("max(commits(), key=lambda c: c['size'])['name']", "KeyError: max(commits(), key=lambda c: c['siz"),
    "map": ("list(map(lambda c: c['name'], commits()))", "KeyError: c['name']"),
    "filter": ("list(filter(lambda c: c['name'], commits()))", "KeyError: c['name']"),
    "a part of a part": ("commits()[0]['author']['mail']", "KeyError: commits()[0]['author']['mail']"),
    "through get": ("page().get('entries', [])[0]['name']", "KeyError: page().get('entries', [])[0]['name']"),
    "or nothing": ("x = page()['entries'] or []\nx[0]['name']", "KeyError: x[0]['name']"),
    "awaited": ("(await page())['entrys']", "KeyError: (await page())['entrys']"),
    "in a function": ("async def main():\n    x = await page()\n    return x['entrys']", "KeyError: x['entrys']"),
    "of an outer name": ("x = page()\ndef f():\n    return x['entrys']", "KeyError: x['entrys']"),
    "a walrus": ("if x := page():\n    x['entrys']", "KeyError: x['entrys']"),
    "side by side": ("a, b = commits(), page()\nb['entrys']", "KeyError: b['entrys']"),
    "gathered": ("a, b = await asyncio.gather(commits(), page())\nb['entrys']", "KeyError: b['entrys']"),
    "gathered from a list": (
        "x = await asyncio.gather(*[page(n) for n in range(3)])\nx[0]['entrys']",
        "KeyError: x[0]['entrys']",
    ),
    "in parallel": ("a, b = parallel([lambda: commits(), lambda: page()])\nb['entrys']", "KeyError: b['entrys']"),
    "an attribute": ("page().total", "AttributeError: page().total"),
    "an attribute of no type": ("commits()[0].title", "AttributeError: commits()[0].title"),
    "a method that lists lack": ("commits().items()", "AttributeError: commits().items"),
    "a number read like a dict": ("count()['x']", "TypeError: count()['x']"),
    "text read like a dict": ("commits()[0]['title']['x']", "TypeError: commits()[0]['title']['x']"),
    "a dict read like a list": ("page()[0]", "KeyError: page()[0]"),
    "after a module's function": ("import json\nx = page()\njson.dumps(x)\nx['entrys']", "KeyError: x['entrys']"),
    "behind a form feed": ("page()\n'\f'\npage()['entrys']", "KeyError: page()['entrys']"),
    "silently": ("page().get('entrys')", "Doubt: page().get('entrys')"),
    "letters that changed places": ("page().get('toatl')", "Doubt: page().get('toatl')"),
    "another case": ("page().get('Total')", "Doubt: page().get('Total')"),
    "what is collected": (
        "out = []\nfor c in commits():\n    out.append(c['title'])\n    out.append((c['size'], c['name']))",
        "KeyError: c['name']",
    ),
    "what is grouped": (
        "g = {}\nfor c in commits():\n    g.setdefault(c['size'], []).append(c['name'])",
        "KeyError: c['name']",
    ),
    "what an own function is given": (
        "def f(x): return x\nx = commits()\nf(x[0])\nx[0]['name']",
        "KeyError: x[0]['name']",
    ),
}


@pytest.mark.parametrize(("plan", "doubt"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_no_result_has_had_is_doubted(plan: str, doubt: str) -> None:
    (found,) = doubts(plan)
    assert f"{found.type}: {found.message}".startswith(doubt)


NOT_DOUBTED = {
    "keys that there are": "x = page()\nx['entries'][0]['author']['name'], x['total'], x.get('next')",
    "methods": "page().items(), commits().index(1), commits()[0]['title'].upper(), count().bit_length()",
    "large texts": "commits()[0]['title'].text()",
    "an optional value": "commits()[0]['merged']",
    "a tool of which nothing is known": "unknown()['x']",
    "a name of the plan's own": "def page():\n    return {}\npage()['entrys']",
    "a name bound twice": "x = page()\nx = {'entrys': 1}\nx['entrys']",
    "a name bound in two ways": "x = page()\nfor x in [{'a': 1}]:\n    x['a']",
    "a name that is added to": "x = commits()\nx += [{'new': 1}]\nx[0]['new']",
    "a list that grows": "x = commits()\nx.append({'new': 1})\nx[-1]['new']",
    "a key of its own": "x = page()\nx['mine'] = 1\nx['mine']",
    "a key that it asks for": "x = page()\nif 'extra' in x:\n    x['extra']",
    "a type that it asks for": "x = page()\nif isinstance(x, list):\n    x[0]",
    "a failure that it expects": "try:\n    page()['entrys']\nexcept KeyError:\n    pass",
    "a copy with more": "x = {**page(), 'new': 1}\nx['new']",
    "a parameter": "def f(x):\n    return x['entrys']\nf(page())",
    "another's parameter": "f = lambda page: page()['entrys']",
    "a match": "x = page()\nmatch x:\n    case {'entrys': e}:\n        x['entrys']",
    "a name that a function sets": "x = page()\ndef f():\n    global x\n    x = {'a': 1}\nf()\nx['a']",
    "a name of a class": "class A:\n    x = page()\n    def f(self):\n        return x['entrys']\n",
    "a name that depends on itself": "x = x['entrys'] if False else page()",
    "a loop over a loop's name": "x = commits()\nx = [x['a'] for x in x]",
    "some of several": "first, *rest = page(), commits()\nrest['entrys'], first['entrys']",
    "one of a choice": "x = page() if flag else {'entrys': 1}\nx['entrys']",
    "a context": "x = page()\nwith open_it() as x:\n    x['entrys']",
    "two default values": "max(page(), {'other': 1})['entrys']",
    "a default value": "next(iter(commits()), {'name': 1})['name'], max(commits(), default={})['name']",
    "one that another step adds": "for r in commits():\n    r.update(totals=1)\n[q.get('totals') for q in commits()]",
    "a default that is set": "for r in commits():\n    r.setdefault('titles', 0)\n[q['titles'] for q in commits()]",
    "what is merged in": "for r in commits():\n    r |= {'titles': 1}\nfor q in commits():\n    q['titles']",
    "a change under another name": "x = commits()\ny = x\ny.append(unknown())\nx[-1]['name']",
    "a change by another dict": "x = page()\ny = x\ny.update(unknown())\nx['entrys']",
    "a key under a name": "x = page()\nfor k in ['a']:\n    x[k] = 1\nx['entrys']",
    "a key that is asked for by name": "x = page()\nk = 'extra'\nif k in x:\n    x['extra']",
    "keys that are compared": "x = page()\nif {'extra'} <= x.keys():\n    x['extra']",
    "what may fail": "with contextlib.suppress(KeyError):\n    page()['entrys']",
    "what may fail by another name": "E = (KeyError,)\ntry:\n    page()['entrys']\nexcept E:\n    pass",
    "whatever fails": "try:\n    page()['entrys']\nexcept:\n    pass",
    "groups of failures": "try:\n    page()['entrys']\nexcept* KeyError:\n    pass",
    "the keys of a dict": "list(page())[0], sorted(page())[0].upper(), sorted(page()).index('total')",
    "the characters of a text": "list(commits()[0]['title']).sort()",
    "from the right": "*rest, last = commits(), page()\nlast['entrys'], rest[0]['name']",
    "failures among results": "a, b = await asyncio.gather(page(), page(), return_exceptions=True)\nb.args",
    "what is still to come": "f = asyncio.gather(*[page() for _ in range(2)])\nf.cancel()",
    "a second parameter": "sorted(commits(), key=lambda c, t=page(): t['total'])",
    "all parameters": "list(map(lambda *c: c[0]['x'], commits()))",
    "functions of its own": "def sorted(x):\n    return {'a': 1}\nsorted(commits())['a']",
    "a walrus in a comprehension": "best = page()\nany((best := c)['size'] for c in commits())\nbest['title']",
    "asking for what may not be there": "page().get('error'), page().get('results') or page().get('data', [])",
    "the rest of a match": "match page():\n    case {**rest}:\n        rest['entrys']",
    "a name that is deleted and made again": "x = page()\ndel x\nx['entrys']",
    "a module": "x = page()\nimport x\nx['entrys']",
    "an own function": "def put(r):\n    r[k] = 1\nfor r in commits():\n    put(r)\ncommits()[0]['titles']",
    "a later function": "def f():\n    x = commits()\n    more(x)\n    x[-1]['b']\ndef more(x):\n    x += [1]",
    "an own object": "class A:\n    def add(self, r): r.update(unknown())\na = A()\na.add(page())\npage()['entrys']",
    "a row by its key": "x = commits()\nby = {c['size']: c for c in x}\nby[1].update(unknown())\nx[0]['titles']",
    "a row of groups": (
        "x = commits()\ng = {}\nfor c in x:\n    g.setdefault(c['size'], []).append(c)\n"
        "for c in g[1]:\n    c.update(unknown())\nx[0]['titles']"
    ),
    "keywords of an own function": (
        "def merge(*, row, more):\n    row.update(more)\nfor c in commits():\n    merge(row=c, more=unknown())\n"
        "commits()[0]['titles']"
    ),
    "what is spread into it": "for c in commits():\n    c.update(**unknown())\ncommits()[0]['titles']",
    "another in its place": "x = commits()\nx[0] = {**x[0], **unknown()}\nx[0]['titles']",
    "another in a part of it": "p = page()\np['entries'][0] = unknown()\np['entries'][0]['titles']",
    "a function that is mapped": (
        "def more(c):\n    c.update(unknown())\n    return c\nx = commits()\nlist(map(more, x))\nx[0]['titles']"
    ),
    "lambdas that call one": (
        "def more(c):\n    c.update(unknown())\nx = commits()\nparallel([lambda c=c: more(c) for c in x])\n"
        "x[0]['titles']"
    ),
    "one of two": "x = commits()\nt = x[0] if x else {}\nt.update(unknown())\nx[0]['titles']",
    "rows of two lists": (
        "x = commits()\nfor c in itertools.chain(x, unknown()):\n    c.update(unknown())\nx[0]['titles']"
    ),
    "a type that a part is asked for": "x = page()\nif isinstance(x.get('total'), list):\n    x['total'][0]['x']",
    "a type that a walrus is asked for": "if isinstance(p := page(), list):\n    p[0]['entrys']",
    "a type of all of them": "x = commits()\nif all(isinstance(c, str) for c in x):\n    x[0].split_all()",
    "a setter": "x = commits()[0]\nx.__setitem__('titles', 1)\nx['titles']",
    "a setter of a module": "import operator\nx = commits()[0]\noperator.setitem(x, k, 1)\nx['titles']",
    "a set of keys": "x = page()\nif set(x) >= {'extra'}:\n    x['extra']",
    "a key that is met": "x = page()\nfor k in x:\n    if k == 'extra':\n        x['extra']",
    "a slice by its name": "s = slice(0, 3)\ncommits()[s][0]['title']",
    "what is put in its place": "p = page()\np['entries'] = [unknown()]\n[e['titles'] for e in p['entries']]",
    "what is merged in from elsewhere": "for r in commits():\n    r |= unknown()\ncommits()[0]['titles']",
    "rows side by side": "for r, e in zip(commits(), unknown()):\n    r.update(e)\ncommits()[0]['titles']",
    "a heap": "import heapq\nx = commits()\nheapq.heappush(x, unknown())\nx[0]['titles']",
    "another default": "page().get('entries', unknown())[0]['titles']",
    "what is asked for first": "c = page()\nif c.get('label'):\n    c['label']",
    "two ways to write it": "c = commits()[0]\nc.get('titel') or c['title']",
    "a word that is only a little alike": "page().get('next_page')",
    "another word": "page().get('subtotal'), page().get('total_at')",
    "a key of a match": "match page():\n    case {'entrys': _}:\n        pass\npage()['entrys']",
    "a long plan": "x = page()\nx['entrys']\n" + "# long\n" * 8_000,
}


@pytest.mark.parametrize("plan", NOT_DOUBTED.values(), ids=NOT_DOUBTED)
def test_what_may_well_be_is_not_doubted(plan: str) -> None:
    assert doubts(plan) == []


def test_a_doubt_says_where_it_comes_from_and_what_there_is() -> None:
    found = doubts("x = commits()\ny = x[0]['tittle']\nx['title']\nx[0].title")
    assert [(each.line, each.column, each.message, each.hint) for each in found] == [
        (
            *(2, 5, "x[0]['tittle']: there is no key 'tittle' in what commits has returned so far (2 results)."),
            "Did you mean 'title'? Its keys: 'title', 'author', 'size', 'tags', 'merged'.",
        ),
        (
            *(3, 1, "x['title']: what commits has returned so far (2 results) is a list here."),
            "Take one item, x[0], or go through all.",
        ),
        (
            *(4, 1, "x[0].title: what commits has returned so far (2 results) is a dict here."),
            "Write x[0]['title'].",
        ),
    ]


def test_an_attribute_is_told_which_key_it_was_meant_for() -> None:
    (doubt,) = doubts("commits()[0].titel")
    assert doubt.hint == "Did you mean 'title'? Its keys: 'title', 'author', 'size', 'tags', 'merged'."


def test_what_a_server_declares_is_no_less_doubted() -> None:
    declared = a_tool(output_schema={"type": "object", "properties": {"result": {"$ref": "#/$defs/R"}}, "$defs": R})
    tools = {"t": {"kind": "tool", "returns": told(declared)}}
    (found,) = doubts("t()['nmae']", tools)
    assert found.message == "t()['nmae']: there is no key 'nmae' in what t says that it returns."
    assert doubts("t()['name'], t()['either']['x'], t()['free']['x'], t()['maybe']['x']", tools) == []


R = {
    "R": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "either": {"anyOf": [{"type": "object", "properties": {"y": {}}}, {"type": "array"}]},
            "free": {"type": "object", "properties": {"y": {}}, "additionalProperties": True},
            "maybe": {"enum": ["a", None]},
        },
    }
}


def test_the_first_doubts_are_said_in_the_order_of_lines_and_each_at_its_first_places() -> None:
    found = doubts("x = page()\n" + "\n".join(f"x['no{number // 5}']" for number in range(100)))
    assert [each.line for each in found] == [line for line in range(2, 52) if (line - 2) % 5 < 3]


def test_functions_of_an_earlier_plan_may_do_anything_to_a_result() -> None:
    plan = "x = commits()\nfor c in x:\n    enrich(c)\nx[0]['titles']"
    names, text = scopes.analyse(ast.parse(plan)), Text(plan, "<plan>")
    assert expected.doubts(names, TOOLS, text, {"enrich"}, code={"enrich"}) == []
    assert expected.doubts(names, TOOLS, text, {"enrich", "other"}, code={"other"}) != []


def test_keys_that_may_be_names_of_things_are_not_held_for_all_there_are() -> None:
    person = {"mail": "m", "age": 1}
    tools = {"people": {"kind": "tool", "returns": told(a_tool(), {"users": {"alice": person, "bob": person}})}}
    assert doubts("people()['users']['dave']['mail']", tools) == []
    assert [each.parameter for each in doubts("people()['usres']", tools)] == ["usres"]


def test_only_what_stands_inside_of_a_place_where_failures_are_expected_is_prepared() -> None:
    inner = "    try:\n        x['a1']\n    except KeyError:\n        x['b1']\n"
    nested = f"try:\n{inner}    x['c1']\nexcept KeyError:\n    x['d1']\n"
    again = "try:\n    x['e1']\nexcept KeyError:\n    pass\nx['f1']"
    assert [each.parameter for each in doubts(f"x = page()\n{nested}{again}")] == ["d1", "f1"]


def test_a_name_of_the_session_that_is_bound_under_a_condition_may_be_what_it_was() -> None:
    source = "if flag:\n    x = page()\nx['entrys']"
    assert said(source, known={"x"}) == []
    assert len(said(source, known=set())) == 1
    assert said("x['entrys']\nx = page()", known={"x"}) == []
    assert len(said("x = page()\nx['entrys']", known={"x"})) == 1


HARD = {
    "a long chain of names": "x0 = page()\n"
    + "\n".join(f"x{n + 1} = x{n}" for n in range(1_500))
    + "\nx1500['entrys']",
    "a long chain of calls": "page()" + ".get('entries')" * 90 + "['x']",
    "a long chain of lists": "x0 = commits()\n"
    + "\n".join(f"x{n + 1} = [c for c in x{n} if c]" for n in range(500))
    + "\nx500[0]['name']",
    "many doubts": "x = page()\n" + "x.get('entrys')\n" * 2_500,
    "functions in functions": "".join(f"{'  ' * n}def f{n}(x=page()['entrys']):\n" for n in range(90))
    + "  " * 90
    + "pass",
    "tries in tries": "".join(f"{' ' * n}try:\n" for n in range(18))
    + " " * 18
    + "page()['entrys']\n"
    + "".join(f"{' ' * n}except ValueError:\n{' ' * n} pass\n" for n in reversed(range(18))),
}


@pytest.mark.parametrize("plan", HARD.values(), ids=HARD)
def test_a_plan_that_is_hard_to_follow_is_followed_as_far_as_it_goes(plan: str) -> None:
    before = sys.getrecursionlimit()
    assert all(problem.message for problem in doubts(plan))
    assert sys.getrecursionlimit() == before


def test_silent_doubts_are_named_alike_on_both_sides() -> None:
    assert expected.SILENT == SILENT_DOUBT


def test_a_plan_is_told_no_more_of_a_tool_than_some_kilobytes() -> None:
    wide = {f"a{number}x": {f"b{each}x": {"c": [1]} for each in range(50)} for number in range(50)}
    returns = told(a_tool(), wide)
    assert returns is not None
    assert len(json.dumps(returns)) < 50 * MOST_NODES


KEYS = st.sampled_from(["id", "name", "items", "kind"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(VALUES, min_size=1, max_size=3), st.data())
def test_what_a_result_has_had_is_never_doubted(results: list[Any], data: st.DataObject) -> None:
    """Any way into any of the results may be gone by a plan, step by step through names or in one expression."""
    value, lines, text = data.draw(st.sampled_from(results)), ["x0 = t()"], "t()"
    while isinstance(value, list | dict) and value:
        step = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else list(range(len(value)))))
        value = value[step]
        lines.append(f"x{len(lines)} = x{len(lines) - 1}[{step!r}]")
        text += f"[{step!r}]"
    tools = {"t": {"kind": "tool", "returns": told(a_tool(), *results)}}
    if tools["t"]["returns"] is None:
        del tools["t"]["returns"]
    assert doubts("\n".join([*lines, text]), tools) == []
