"""What the project's own documents and pins promise is true of the files beside them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from planact_server.config.schema import SECTIONS, TopLevel

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


def test_every_key_of_the_configuration_is_explained_with_its_default() -> None:
    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for table, schema in (("", TopLevel), *SECTIONS.items()):
        assert not table or f"`[{table}]`" in text, table
        for key, field in schema.model_fields.items():
            assert f"`{key}`" in text, f"{table}.{key}"
            if table not in ("planner", ""):
                default = json.dumps(field.default)
                assert f"| `{key}` | `{default}` |" in text, f"{table}.{key} = {default}"


def test_every_variable_of_the_environment_that_is_read_by_name_is_explained() -> None:
    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    sources = "".join(file.read_text(encoding="utf-8") for file in (CHECKOUT / "mcp_server").rglob("*.py"))
    named = set(re.findall(r"\"(PLANACT_[A-Z_]*[A-Z])\"", sources))
    assert named
    assert {name for name in named if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    ("document", "package"),
    [
        ("docs/architecture.md", "mcp_server/planact_server"),
        ("bridge/README.md", "bridge/planact_bridge"),
        ("quantized/README.md", "quantized/planact_quantized"),
    ],
)
def test_every_module_is_in_the_table_of_who_owns_what(document: str, package: str) -> None:
    table = re.findall(r"^\| (`.*?) \|", (CHECKOUT / document).read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name.removesuffix(".py").strip("/") for row in table for name in re.findall(r"`([^`]+)`", row)}
    inside = {
        path.stem for path in (CHECKOUT / package).iterdir() if path.name[0] not in "_." and path.suffix in ("", ".py")
    }
    assert inside - {"errors"} == {name for name in listed if "/" not in name}


@named
def test_every_anchor_leads_to_a_heading(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


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
