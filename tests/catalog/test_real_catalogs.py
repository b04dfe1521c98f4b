"""Every tool of every recorded catalog becomes a function that can be named, written down and called."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from catalog.recorded import Servers, bfcl, livemcpbench, recorded_servers
from planact_server.catalog.catalog import Catalog, CatalogServer, CatalogTool
from planact_server.catalog.signatures import describe, signature, stub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=[recorded_servers, livemcpbench, bfcl], ids=lambda read: read.__name__)
def servers(request: pytest.FixtureRequest, shared: Path) -> Servers:
    return request.param(shared / "data")


@pytest.fixture(scope="module")
def catalog(servers: Servers) -> Catalog:
    return Catalog.build(servers)


def test_the_data_is_as_large_as_it_should_be(shared: Path) -> None:
    sizes = [sum(map(len, read(shared / "data").values())) for read in (recorded_servers, livemcpbench, bfcl)]
    assert sizes == [189, 527, 1_567]


def test_no_tool_is_lost_and_no_name_is_used_twice(servers: Servers, catalog: Catalog) -> None:
    assert len(catalog) == sum(map(len, servers.values()))
    assert len({tool.full_name for tool in catalog}) == len(catalog)
    assert len({tool.function for tool in catalog}) == len(catalog)


def test_every_name_leads_to_its_tool_and_back_to_the_raw_one(servers: Servers, catalog: Catalog) -> None:
    for tool in catalog:
        assert catalog.resolve(tool.full_name) is tool
        assert catalog.resolve(tool.function) is tool
        assert catalog.by_raw(tool.definition.name, tool.raw_server) is tool
        assert isinstance(catalog.resolve(tool.raw_server), CatalogServer)
    assert {(tool.raw_server, tool.definition.name) for tool in catalog} == {
        (server, definition.name) for server, definitions in servers.items() for definition in definitions
    }


def test_every_parameter_leads_back_to_its_raw_name(catalog: Catalog) -> None:
    for tool in catalog:
        for parameter in tool.parameters:
            assert parameter.name.isidentifier()
            assert tool.parameter(parameter.name) is parameter
            assert tool.parameter(parameter.raw) is parameter


def test_every_stub_is_python_with_the_tools_parameters(catalog: Catalog) -> None:
    for tool in catalog:
        function = ast.parse(stub(tool)).body[-1]
        assert isinstance(function, ast.FunctionDef)
        assert function.name == tool.name
        assert parameter_names_of(function) == [parameter.name for parameter in tool.parameters]
        assert ast.get_docstring(function)


def parameter_names_of(function: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]


def test_every_signature_is_one_line_that_begins_with_the_call(catalog: Catalog) -> None:
    for tool in catalog:
        line = signature(tool)
        assert line.startswith(f"{tool.full_name}(")
        assert len(line.splitlines()) == 1
        call, _, returns = line.removeprefix(tool.full_name).rpartition(" -> ")
        ast.parse(f"def f{call} -> {returns}: ..." if call else f"def f{returns}: ...")


def test_every_description_is_python_too(catalog: Catalog) -> None:
    for tool in catalog:
        ast.parse(describe(tool))


def test_only_what_is_wrong_in_the_data_is_reported(shared: Path) -> None:
    catalog = Catalog.build({**recorded_servers(shared / "data"), **livemcpbench(shared / "data")})
    assert [(tool.full_name, tool.problems) for tool in catalog if tool.problems] == []


def test_a_tool_can_be_called_by_any_name_it_has(catalog: Catalog) -> None:
    for tool in catalog:
        found = catalog.resolve(f"{tool.raw_server}.{tool.definition.name}")
        assert isinstance(found, CatalogTool)
        assert found is tool
