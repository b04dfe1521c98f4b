"""One entry of a text goes in or out; the rest of the text stays as somebody has written it."""

import json
from pathlib import Path
from typing import Any

import pytest

from hosts.golden_hosts import BY_NAME, GOLDEN
from planact_bridge.hosts.editing import edit, servers_in
from planact_bridge.hosts.errors import SyntaxProblem, UneditableError
from planact_bridge.hosts.texts import JSON, TOML, YAML, Syntax
from planact_bridge.hosts.texts.syntax import LISTED

ENTRY = {"command": "/opt/planact", "args": ["serve"]}


@pytest.mark.parametrize("host", GOLDEN)
@pytest.mark.parametrize("ending", ["no final newline", "blank lines at the end", "a byte order mark", "CRLF"])
def test_the_ends_of_lines_and_of_the_file_stay_as_they_are(host: str, ending: str) -> None:
    dialect = BY_NAME[host].dialect
    text = (Path(__file__).parent / "golden" / GOLDEN[host].file).read_text()
    text = {
        "no final newline": text.rstrip("\n"),
        "blank lines at the end": f"{text}\n\n",
        "a byte order mark": f"\ufeff{text}",
        "CRLF": text.replace("\n", "\r\n"),
    }[ending]

    added = edit(dialect.syntax, text, dialect.keys, {"planact": ENTRY})

    assert edit(dialect.syntax, added, dialect.keys, {"planact": None}) == text
    assert added.count("\r\n") == (added.count("\n") if ending == "CRLF" else 0)
    assert added.startswith("\ufeff") == (ending == "a byte order mark")


JSON_TEXTS = {
    "no servers yet": '{\n  "a": 1\n}\n',
    "no servers yet, a comma too many": '{\n\t"a": 1, // one\n}',
    "servers that are null": '{"mcpServers": null, "a": 1}',
    "one line": '{"mcpServers": {"x": {"command": "y"}}, "a": [1, 2]}',
    "one line, a comma too many": '{"mcpServers": {"x": {"command": "y"},},}',
    "commas first": '{\n  "mcpServers": {\n    "x": {}\n  , "z": {}\n  }\n}',
    "a comment at the end": '{\n  "mcpServers": {\n    "x": {} // last\n    // "z": {}\n  }\n}',
    "a comment only": '{\n  "mcpServers": {\n    // nothing, yet\n  }\n}',
    "braces in comments and strings": (
        '{ // }\n  "}{": "//", /* "mcpServers": {} */\n  "mcpServers": {"x": {"a": "\\"}"}}\n}'
    ),
    "an entry twice": '{"mcpServers": {"x": {"command": "1"}, "x": {"command": "2"}}}',
    "the servers twice": '{"mcpServers": {"lost": {}}, "mcpServers": {"x": {}}}',
    "the closing brace in the same line": '{\n  "mcpServers": {\n    "x": {}}}',
    "no indentation": '{\n"mcpServers": {\n"x": {}\n}\n}',
}


@pytest.mark.parametrize("case", JSON_TEXTS)
def test_json_takes_an_entry_and_gives_it_back(case: str) -> None:
    text = JSON_TEXTS[case]
    before = servers_in(JSON.parse(text), ["mcpServers"])

    added = edit(JSON, text, ["mcpServers"], {"planact": ENTRY})
    again = edit(JSON, added, ["mcpServers"], {"planact": None})

    assert servers_in(JSON.parse(added), ["mcpServers"]) == {**before, "planact": ENTRY}
    assert servers_in(JSON.parse(again), ["mcpServers"]) == before
    if before:
        assert again == text


def test_json_keeps_the_style_of_its_surroundings() -> None:
    spread = '{\n\t"mcpServers": {\n\t\t"x": {}, // why\n\t}\n}'
    dense = '{"mcpServers":{"x":{}}}'

    assert edit(JSON, spread, ["mcpServers"], {"planact": ENTRY}) == (
        '{\n\t"mcpServers": {\n\t\t"x": {}, // why\n\t\t"planact": {\n\t\t\t"command": "/opt/planact",\n'
        '\t\t\t"args": ["serve"]\n\t\t},\n\t}\n}'
    )
    assert edit(JSON, dense, ["mcpServers"], {"planact": ENTRY}) == (
        '{"mcpServers":{"x":{}, "planact": {"command": "/opt/planact", "args": ["serve"]}}}'
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"s": {"p": {}, "x": {}}}', '{"s": { "x": {}}}'),
        ('{"s": {"w": {}, "p": {}, "x": {}}}', '{"s": {"w": {}, "x": {}}}'),
        ('{"s": {"w": {}, "p": {}}}', '{"s": {"w": {}}}'),
        ('{"s": {"w": {}, "p": {},}}', '{"s": {"w": {},}}'),
        ('{"s": { "p": {} }}', '{"s": {}}'),
        ('{"s": {\n  // about p\n  "p": {}\n}}', '{"s": {\n  // about p\n}}'),
        ('{"s": {\n  "w": {}, // w\n  "p": {}, "x": {}\n}}', '{"s": {\n  "w": {}, // w\n   "x": {}\n}}'),
        ('{"s": {\n  "w": {} // w\n  , "p": {}}}', '{"s": {\n  "w": {} // w\n  }}'),
        ('{"s": {"p": {"a": 1}, "p": {"a": 2}}}', '{"s": {}}'),
    ],
)
def test_json_loses_an_entry_without_leaving_a_comma_or_eating_a_comment(text: str, left: str) -> None:
    assert edit(JSON, text, ["s"], {"p": None}) == left


TOML_TEXTS = {
    "empty": "",
    "a comment only": "# nothing here\n",
    "no servers yet": 'model = "x"\n\n[tui]\na = 1\n\n# the end\n',
    "tables between others": '[mcp_servers.x]\ncommand = "y"\n[mcp_servers.x.env]\nA = "1"\n\n# about b\n[b]\nc = 1\n',
    "in two places": '[mcp_servers.x]\ncommand = "y"\n[b]\nc = 1\n[mcp_servers.z]\ncommand = "z"\n[[d]]\ne = 1\n',
    "dotted keys": 'mcp_servers.x.command = "y"\nmodel = "m"\n[b]\nc = 1\n',
    "inline entries": '[mcp_servers]\nx = { command = "y", args = ["[a]", "#"] }\n\n[b]\n',
    "quoted names": '["mcp_servers"."x.y"]\ncommand = \'C:\\x\'\n',
    "texts over several lines": (
        '[mcp_servers.x]\ncommand = """\n[mcp_servers.planact]\n"""\nargs = [\n  """a\n]""",\n]\n'
    ),
    "literal texts over several lines": "[mcp_servers.x]\nargs = [\n  '''a\n]''', # b\n]\n",
    "indented": '  [mcp_servers.x]\n    command = "y"   \n\n  [b]\n',
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("case", TOML_TEXTS)
def test_toml_takes_a_table_and_gives_it_back(case: str, newline: str) -> None:
    text = TOML_TEXTS[case].replace("\n", newline)
    before = servers_in(TOML.parse(text), ["mcp_servers"])

    added = edit(TOML, text, ["mcp_servers"], {"planact": ENTRY})

    assert servers_in(TOML.parse(added), ["mcp_servers"]) == {**before, "planact": ENTRY}
    assert edit(TOML, added, ["mcp_servers"], {"planact": None}) == text


def test_toml_replaces_all_that_is_said_about_an_entry() -> None:
    text = (
        '[mcp_servers.planact]\ncommand = "old" # mine\n\n[mcp_servers.planact.env]\nA = "1"\n\n'
        '[b]\nc = 1\n\n[mcp_servers]\nx.command = "y"\n'
    )

    replaced = edit(TOML, text, ["mcp_servers"], {"planact": ENTRY})

    assert TOML.parse(replaced) == {"b": {"c": 1}, "mcp_servers": {"x": {"command": "y"}, "planact": ENTRY}}


def test_toml_writes_windows_paths_and_nested_values_so_that_they_can_be_read() -> None:
    entry: dict[str, Any] = {
        "command": r"C:\Program Files\planact.exe",
        "args": ['say "hi"', "it's"],
        "env": {"A B": "é"},
    }

    assert TOML.show(["mcp_servers"], "my planact", entry) == (
        '[mcp_servers."my planact"]\n'
        "command = 'C:\\Program Files\\planact.exe'\n"
        'args = ["say \\"hi\\"", "it\'s"]\n'
        'env = { "A B" = "é" }\n'
    )
    assert TOML.parse(TOML.show(["mcp_servers"], "my planact", entry)) == {"mcp_servers": {"my planact": entry}}


YAML_TEXTS = {
    "empty": "",
    "a comment only": "# nothing here\n",
    "no servers yet": "a: 1\nb:\n  - c\n\n# the end\n",
    "a block": "extensions:\n  x:\n    cmd: y\n\n\n# about b\nb: 1\n",
    "a block at the end": "b: 1\nextensions:\n    x:\n        cmd: y # why",
    "a block text": "extensions:\n  x:\n    cmd: y\n    about: |\n      two\n      lines\n\nb: 1\n",
    "an inline entry": "extensions:\n  x: {cmd: y,   args: [a, 'b']}   # why\nb: 1\n",
    "an inline map": "extensions: {x: {cmd: y}}\nb: 1\n",
    "an inline map that is empty": "extensions: {}\nb: 1\n",
    "an alias": "base: &b {cmd: y}\nextensions:\n  x: *b\nb: 1\n",
    "null inside": "extensions:\n  x:\nb: 1\n",
    "a document": "---\nextensions:\n  x:\n    cmd: y\n",
    "all in braces": "{a: 1, extensions: {x: {cmd: y}}}\n",
    "all in braces, no servers yet": "{a: 1}\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("case", YAML_TEXTS)
def test_yaml_takes_an_entry_and_gives_it_back(case: str, newline: str) -> None:
    text = YAML_TEXTS[case].replace("\n", newline)
    before = servers_in(YAML.parse(text), ["extensions"])

    added = edit(YAML, text, ["extensions"], {"planact": ENTRY})
    again = edit(YAML, added, ["extensions"], {"planact": None})

    assert servers_in(YAML.parse(added), ["extensions"]) == {**before, "planact": ENTRY}
    assert servers_in(YAML.parse(again), ["extensions"]) == before
    if before or "extensions" in text:
        assert again == text


LISTS = {
    "no servers yet": "a: 1\n",
    "dashes under the key": "mcpServers:\n- name: x\n  command: y\nb: 1\n",
    "dashes further in": "mcpServers:\n    -   command: y\n        name: x\n\n    # nothing more\nb: 1\n",
    "inline": "mcpServers: [{name: x, command: y}]\n",
    "empty": "mcpServers: []\n",
    "something without a name": "mcpServers:\n  - uses: other/thing\n  - name: x\n    command: y\n",
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_of_servers_takes_an_entry_and_gives_it_back(case: str) -> None:
    text, keys = LISTS[case], ["mcpServers", LISTED]
    before = servers_in(YAML.parse(text), keys)

    added = edit(YAML, text, keys, {"planact": ENTRY})
    again = edit(YAML, added, keys, {"planact": None})

    assert servers_in(YAML.parse(added), keys) == {**before, "planact": {"name": "planact", **ENTRY}}
    assert servers_in(YAML.parse(again), keys) == before
    if "mcpServers" in text:
        assert again == text


def test_yaml_quotes_what_would_not_be_a_text() -> None:
    entry: dict[str, Any] = {"cmd": "C:\\a b", "args": ["", "no", "1", "- x", "# y", "a: b", "é"], "on": True}

    shown = YAML.show(["extensions"], "planact", entry)

    assert YAML.parse(shown) == {"extensions": {"planact": entry}}


@pytest.mark.parametrize(
    ("syntax", "text", "line"),
    [
        (JSON, '{\n  "a": 1,\n  "b" 2\n}', 3),
        (JSON, '{\n  // "a": 1\n', 3),
        (TOML, '[a]\nb = 1\nc = "x\n', 3),
        (TOML, "a = [1,\n", 2),
        (YAML, "a: 1\nb: [1, 2\nc: 3\n", 3),
        (YAML, "a: 1\n\tb: 2\n", 2),
        (YAML, "a: 1\na: 2\n", 2),
    ],
)
def test_a_text_that_cannot_be_read_is_named_by_its_line(syntax: Syntax, text: str, line: int) -> None:
    with pytest.raises(SyntaxProblem) as raised:
        edit(syntax, text, ["a"], {"planact": ENTRY})
    assert raised.value.line == line


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        (JSON, "[1]"),
        (JSON, '{"s": [1]}'),
        (JSON, '{"s": "x"}'),
        (TOML, "s = { x = { command = 'y' } }\n"),
        (TOML, "s = 1\n"),
        (YAML, "- a\n"),
        (YAML, "s: text\n"),
        (YAML, "s:\n  - a\n"),
        (YAML, "s: &x\n  a: 1\nt: *x\n"),
        (YAML, "a: |+\n  text\n\n\n"),
    ],
)
def test_a_text_that_no_edit_keeps_is_refused(syntax: Syntax, text: str) -> None:
    with pytest.raises(UneditableError):
        edit(syntax, text, ["s"], {"planact": ENTRY})


def test_what_becomes_empty_goes_only_when_asked_for() -> None:
    text = '{"a": 1}'
    added = edit(JSON, text, ["mcp", "servers"], {"planact": ENTRY})

    assert json.loads(edit(JSON, added, ["mcp", "servers"], {"planact": None})) == {"a": 1, "mcp": {"servers": {}}}
    dropped = edit(JSON, added, ["mcp", "servers"], {"planact": None}, drop_empty=[["mcp", "servers"], ["mcp"]])
    assert dropped == text
