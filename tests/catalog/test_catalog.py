"""Finding tools by the names that plans use, and saying what was probably meant."""

from __future__ import annotations

import pytest

from catalog.making import define, taking
from planact_server.catalog.catalog import AmbiguousToolError, Catalog, CatalogServer, CatalogTool, ToolNotFoundError


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.build(
        {
            "git": [define("git_status"), define("search")],
            "my-files": [define("read-file"), define("search"), define("print"), define("describe"), define("git")],
            "list": [define("a.b"), define("class")],
        }
    )


def named(found: CatalogServer | CatalogTool | None) -> str | None:
    return found.full_name if isinstance(found, CatalogTool) else f"server {found.name}" if found else None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("git_status", "git.git_status"),
        ("git.git_status", "git.git_status"),
        ("git", "server git"),
        ("my_files", "server my_files"),
        ("my-files", "server my_files"),
        ("list_", "server list_"),
        ("list", "server list_"),
        ("my_files.read_file", "my_files.read_file"),
        ("my-files.read-file", "my_files.read_file"),
        ("read-file", "my_files.read_file"),
        ("list_.a_b", "list_.a_b"),
        ("list.a.b", "list_.a_b"),
        ("a.b", "list_.a_b"),
        ("class_", "list_.class_"),
        ("search", None),
        ("git.read_file", None),
        ("nowhere.search", None),
        ("", None),
        (".", None),
    ],
)
def test_a_name_is_found(catalog: Catalog, name: str, found: str | None) -> None:
    assert named(catalog.resolve(name)) == found


def test_plain_names_are_unique_and_hide_nothing(catalog: Catalog) -> None:
    assert sorted(catalog.plain) == ["a_b", "class_", "git_status", "read_file"]


def test_a_tool_goes_by_its_plain_name_where_there_is_one(catalog: Catalog) -> None:
    assert [tool.function for tool in catalog] == [
        "git_status",
        "git.search",
        "read_file",
        "my_files.search",
        "my_files.print",
        "my_files.describe",
        "my_files.git",
        "a_b",
        "class_",
    ]
    assert len(catalog) == 9


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("git_statsu", "git_status"),
        ("gitStatus", "git_status"),
        ("git.git_statsu", "git.git_status"),
        ("git.status", "git.git_status"),
        ("my_file", "my_files"),
        ("my-files.readfile", "my_files.read_file"),
        ("search", "git.search"),
        ("zzzzzz", None),
    ],
)
def test_the_closest_name_is_one_that_a_plan_can_use(catalog: Catalog, name: str, closest: str | None) -> None:
    assert catalog.closest(name) == closest


def test_a_raw_call_finds_its_tool(catalog: Catalog) -> None:
    assert catalog.by_raw("read-file", None).full_name == "my_files.read_file"
    assert catalog.by_raw("read-file", "my-files").full_name == "my_files.read_file"
    assert catalog.by_raw("read_file", "my_files").full_name == "my_files.read_file"
    assert catalog.by_raw("search", "git").full_name == "git.search"
    assert catalog.by_raw("a.b", None).full_name == "list_.a_b"
    assert catalog.by_raw("git.git_status", None).full_name == "git.git_status"


def test_a_raw_call_of_a_name_that_several_servers_have_is_ambiguous(catalog: Catalog) -> None:
    with pytest.raises(AmbiguousToolError) as caught:
        catalog.by_raw("search", None)
    assert str(caught.value) == "Several servers have a tool 'search': 'git', 'my-files'. Say which with server=…"


@pytest.mark.parametrize(
    ("tool", "server", "message"),
    [
        ("reed-file", None, "There is no tool 'reed-file'. Did you mean 'read-file'?"),
        ("reed-file", "my-files", "Server 'my-files' has no tool 'reed-file'. Did you mean 'read-file'?"),
        (
            "read-file",
            "my-file",
            "There is no server 'my-file'. Did you mean 'my-files'? Connected servers: 'git', 'my-files', 'list'.",
        ),
        ("zzzzzz", None, "There is no tool 'zzzzzz'. Connected servers: 'git', 'my-files', 'list'."),
    ],
)
def test_a_raw_call_of_nothing_says_what_there_is(
    catalog: Catalog, tool: str, server: str | None, message: str
) -> None:
    with pytest.raises(ToolNotFoundError) as caught:
        catalog.by_raw(tool, server)
    assert str(caught.value) == message


def test_a_dotted_raw_name_that_means_two_tools_means_none() -> None:
    catalog = Catalog.build({"a": [define("b.c")], "a.b": [define("c"), define("d")]})

    assert named(catalog.resolve("a.b.d")) == "a_b.d"
    assert catalog.resolve("a.b.c") is None
    assert named(catalog.resolve("a.b_c")) == "a.b_c"


def test_names_without_end_are_not_looked_for() -> None:
    catalog = Catalog.build({"s": [define("f")]})
    endless = "s." * 5_000_000

    assert (catalog.resolve(endless), catalog.closest(endless)) == (None, None)
    with pytest.raises(ToolNotFoundError) as caught:
        catalog.by_raw(endless, "s")
    assert len(str(caught.value)) < 300


def test_an_empty_catalog_finds_nothing() -> None:
    empty = Catalog.build({})

    assert (len(empty), empty.resolve("x"), empty.closest("x")) == (0, None, None)
    with pytest.raises(ToolNotFoundError, match=r"There is no tool 'x'\. Connected servers: none\."):
        empty.by_raw("x", None)


def test_a_tool_that_is_listed_twice_counts_once() -> None:
    catalog = Catalog.build({"s": [define("f", description="first"), define("f", description="second")]})

    (tool,) = catalog
    assert (tool.definition.description, tool.problems) == (
        "first",
        ("listed more than once; the first one counts",),
    )


def test_servers_that_did_not_change_are_taken_over() -> None:
    first = Catalog.build({"a": [define("x")], "b": [define("y")]})
    second = Catalog.build({"a": [define("x")], "b": [define("y2")]}, generation=2, previous=first)

    assert second.generation == 2
    assert second.servers["a"] is first.servers["a"]
    assert second.servers["b"] is not first.servers["b"]
    assert list(first.plain) == ["x", "y"]


def test_a_name_that_stops_being_unique_loses_its_plain_form() -> None:
    first = Catalog.build({"a": [taking("x", p={"type": "string"})]})
    second = Catalog.build({"a": [taking("x", p={"type": "string"})], "b": [define("x")]}, previous=first)
    third = Catalog.build({"a": [taking("x", p={"type": "string"})]}, previous=second)

    assert [tool.function for tool in (*first, *second, *third)] == ["x", "a.x", "b.x", "x"]
    assert second.servers["a"].tools["x"].parameters is first.servers["a"].tools["x"].parameters


def test_servers_whose_names_fall_together_stay_apart() -> None:
    catalog = Catalog.build({"a-b": [define("x")], "a_b": [define("x")]})

    assert catalog.servers["a_b"].raw_name == "a_b"
    other = next(server for server in catalog.servers.values() if server.raw_name == "a-b")
    assert catalog.resolve("a-b.x") is other.tools["x"]
    assert catalog.resolve("a_b.x") is catalog.servers["a_b"].tools["x"]
