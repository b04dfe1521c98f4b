"""Texts that nobody would write: an entry goes in and out of them, and each of their servers out, without a trace."""

import pytest

from hosts.odd_texts import odd_json, odd_toml, odd_yaml
from planact_bridge.hosts.editing import edit, servers_in
from planact_bridge.hosts.texts import JSON, TOML, YAML, Syntax

ENTRY = {"command": "/opt/planact", "args": ["serve"]}
MAKERS = {"json": (JSON, odd_json), "toml": (TOML, odd_toml), "yaml": (YAML, odd_yaml)}


def takes_and_gives_back(syntax: Syntax, text: str, names: list[str]) -> None:
    assert sorted(servers_in(syntax.parse(text), ["s"])) == sorted(names)

    added = edit(syntax, text, ["s"], {"planact": ENTRY})
    again = edit(syntax, added, ["s"], {"planact": None})
    emptied = edit(syntax, text, ["s"], dict.fromkeys(names))

    assert servers_in(syntax.parse(emptied), ["s"]) == {}
    if names:
        assert again == text


@pytest.mark.parametrize("name", MAKERS)
def test_an_odd_text_takes_an_entry_and_gives_it_back(name: str) -> None:
    syntax, make = MAKERS[name]
    for seed in range(15):
        takes_and_gives_back(syntax, *make(seed))


@pytest.mark.check
@pytest.mark.parametrize("name", MAKERS)
def test_many_odd_texts_take_an_entry_and_give_it_back(name: str) -> None:
    syntax, make = MAKERS[name]
    for seed in range(15, 300):
        takes_and_gives_back(syntax, *make(seed))
