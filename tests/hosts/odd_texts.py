"""Configuration files as nobody would write them, by the number of a seed: comments, commas and blanks anywhere."""

import json
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Made = tuple[str, list[str]]
"""A text, and the names of the servers in it."""


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.newline = self.random.choice(["\n", "\r\n"])

    def one(self, *choices: str) -> str:
        return self.random.choice(choices).replace("\n", self.newline)

    def some(self, *choices: str, least: int = 0) -> list[str]:
        return self.random.sample(choices, self.random.randint(least, len(choices)))

    def chance(self, share: float) -> bool:
        return self.random.random() < share


def odd_json(seed: int) -> Made:
    """Return JSON with servers under `s`."""
    make = _Maker(seed)
    names = make.some("x", "y", "z")
    members = {name: _json_value(make, 2) for name in make.some("a", "b", "c", "{,")}
    at = make.random.randint(0, len(members))
    servers = ("s", _json_object(make, {name: _json_value(make, 2) for name in names}))
    whole = dict([*list(members.items())[:at], servers, *list(members.items())[at:]])
    return _json_gap(make) + _json_object(make, whole), names


def _json_gap(make: _Maker) -> str:
    gaps = ("", "", " ", "\n", "\n\t", " // c, } ]\n", '/* {," */', "\n  // x */\n  ", "/* // */")
    return make.one(*gaps)


def _json_value(make: _Maker, depth: int) -> str:
    if depth == 0 or make.chance(0.5):
        return make.one("1", "true", "null", '"//x"', '"/* */"', '"},{"', '"\\""', "[1, 2]", "[]")
    return _json_object(make, {name: _json_value(make, depth - 1) for name in make.some("a", "b,", "{")})


def _json_object(make: _Maker, members: dict[str, str]) -> str:
    text = "{" + _json_gap(make)
    for number, (name, value) in enumerate(members.items(), start=1):
        text += f"{json.dumps(name)}{_json_gap(make)}:{_json_gap(make)}{value}{_json_gap(make)}"
        if number < len(members) or make.chance(0.3):
            text += f",{_json_gap(make)}"
    return text + "}"


def odd_toml(seed: int) -> Made:
    """Return TOML with servers under `s`."""
    make = _Maker(seed)
    names = make.some("x", "y", "z.z", least=1)
    tables = [f"s.{json.dumps(name)}" if "." in name else f"s.{name}" for name in names]
    tables += [f"{table}.env" for table in tables if make.chance(0.4)]
    tables += make.some("t", "u", "v.w")
    if make.chance(0.5):
        make.random.shuffle(tables)
    text = "".join(_toml_line(make, name) for name in make.some("a", "b", '"c d"'))
    for table in tables:
        text += make.one(f"[{table}]\n", f"  [ {table} ] # h\n", f"\n\n[{table}]\n", f"# c [x]\n[{table}]\n")
        text += "".join(_toml_line(make, name) for name in make.some("k", "l"))
    text += make.one("", "# the end\n", "\n\n")
    return text.rstrip() if make.chance(0.3) else text, names


def _toml_line(make: _Maker, name: str) -> str:
    value = make.one('"a"', "'#'", '"""\n[s.q]\n"""', "'''[s.q]\n'''", "[1, # c\n 2]", "{ a = '}' }", "1")
    return make.one("", "  ", "\n", "# c\n") + f"{name} = {value}" + make.one("\n", " # t\n", "  \n")


def odd_yaml(seed: int) -> Made:
    """Return YAML with servers under `s`."""
    make = _Maker(seed)
    unit = make.one(" ", "  ", "    ")
    names = make.some("x", "y", "z", least=1)
    parts = [f"{name}: 1{make.newline}" for name in make.some("a", "b")]
    servers = "".join(
        f"{_yaml_gap(make, unit)}{unit}{name}:" + make.one("\n", " # h\n") + _yaml_block(make, unit * 2, unit, 2)
        for name in names
    )
    parts.insert(make.random.randint(0, len(parts)), f"s:{make.newline}{servers}")
    # A text block may not come last: whatever follows adds a line end to it.
    return "".join(_yaml_gap(make, "") + part for part in parts) + make.one("end: 1\n", "end: [1]", "end:\n"), names


def _yaml_gap(make: _Maker, indent: str) -> str:
    return make.one("", "", f"{indent}# c: x\n", "\n", "\n\n")


def _yaml_block(make: _Maker, indent: str, unit: str, depth: int) -> str:
    return "".join(
        _yaml_gap(make, indent) + _yaml_member(make, indent, unit, depth, name)
        for name in make.some("k", "'l m'", "n", least=1)
    )


def _yaml_member(make: _Maker, indent: str, unit: str, depth: int, name: str) -> str:
    kinds: list[Callable[[], str]] = [
        lambda: " " + make.one("a", "'b: c'", '"d"', "{e: 1}", "[f, g]", "1") + make.one("\n", " # t\n"),
        lambda: (
            make.one(" |\n", " >-\n") + f"{indent}  text: x{make.newline}{make.newline}{indent}  more{make.newline}"
        ),
        lambda: make.newline + "".join(f"{indent}- {item}{make.newline}" for item in "ab"),
        lambda: make.newline + _yaml_block(make, indent + unit, unit, depth - 1),
    ]
    return f"{indent}{name}:" + make.random.choice(kinds if depth else kinds[:1])()
