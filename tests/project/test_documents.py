"""What the project's own documents and pins promise is true of the files beside them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file
    for pattern in ("*.md", "docs/**/*.md", "*/README.md")
    for file in CHECKOUT.glob(pattern)
    if not file.relative_to(CHECKOUT).parts[0].startswith(".")
)

named = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(CHECKOUT).as_posix())


@named
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    lost = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert lost == []


@named
def test_every_json_block_can_be_pasted(document: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        json.loads(block)


@named
def test_every_toml_block_can_be_pasted(document: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        tomllib.loads(block)


@named
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8"))) <= targets


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    pins = re.findall(r"^([a-z0-9-]+)==", _constraints(), re.MULTILINE)
    assert {_normal(line) for line in wanted} - {"planact"} <= set(pins)


def test_the_pins_name_no_host() -> None:
    assert not re.search(r"://|^--|@ ", _constraints(), re.MULTILINE)


def _constraints() -> str:
    return (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")


def _normal(requirement: str) -> str:
    name = re.split(r"[\[<>=~!; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
