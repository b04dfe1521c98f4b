"""Nobody exposes a name by accident: what plans can reach by name is written down in `exposed_names.txt`.

To change it: `python -m fuzz.test_exposed_names` in the folder `tests` prints what this Python exposes. A name that not
every Python has carries the range that has it (`math.sumprod >=3.12`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.child import Child
from planact_server.sandbox.inside import attributes

_LIST = Path(__file__).with_name("exposed_names.txt")


def _listed() -> list[str]:
    lines = [line.split() for line in _LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [name for name, *ranges in lines if all(map(_is_here, ranges))]


def _is_here(versions: str) -> bool:
    """`>=3.12` or `<3.13`."""
    newest = versions.startswith("<")
    version = tuple(map(int, versions.lstrip("<>=").split(".")))
    return (sys.version_info < version) if newest else (sys.version_info >= version)


def _exposed(*more: str) -> list[str]:
    child = Child("fuzz.serve_names", *more)
    try:
        return child.ask({})
    finally:
        child.close()


def test_every_exposed_name_is_listed_and_every_listed_name_is_exposed() -> None:
    exposed, listed = _exposed(), _listed()

    assert [name for name in exposed if name not in listed] == [], "exposed, and nobody has looked at it"
    assert [name for name in listed if name not in exposed] == [], "listed, and gone"
    assert len(listed) == len(set(listed))


def test_a_new_name_in_a_module_is_seen() -> None:
    assert [name for name in _exposed("math.length") if name not in _listed()] == ["math.length"]


def test_the_names_are_those_that_the_guard_lets_pass() -> None:
    leaves = [name.rpartition(".")[2] for name in _listed()]

    assert [name for name in leaves if attributes.judge(name) == "forbidden"] == []


if __name__ == "__main__":
    print("\n".join(_exposed()))  # noqa: T201
