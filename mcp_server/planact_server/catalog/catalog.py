"""The tools of all servers under the names that plans use: one immutable snapshot, or generation.

Pure: definitions in, a `Catalog` out. A changed server gives a new catalog; whoever holds the old one keeps it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from planact_server.catalog.members import Members, members
from planact_server.catalog.naming import RESERVED, parameter_names, server_names, tool_names
from planact_server.catalog.schemas import CleanSchema, Schema, clean
from planact_server.catalog.suggestions import closest, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from planact_tools import JSONObject, JSONValue, ToolDefinition

LONGEST_NAME = 1_000
"""What is longer is not looked for."""


class ToolNotFoundError(LookupError):
    """No tool has this name; the message says what is close, or which servers there are."""


class AmbiguousToolError(LookupError):
    """Several servers have a tool of this name; the message names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    """Python spelling, unique within the tool."""

    raw: str
    required: bool
    schema: Schema
    """In the dialect of `schemas`; references lead into the tool's own `schema.definitions`."""

    has_default: bool = False
    default: JSONValue = None
    description: str = ""
    null_is_absence: bool = False
    """True where the default is null and the type forgets to say so: a None then means that it is left out."""


# Compared by identity: a tool belongs to one generation, and what is worked out from it is kept per tool.
@dataclass(frozen=True, kw_only=True, eq=False)
class CatalogTool:
    """One tool as plans see it."""

    server: str
    """Python spelling."""

    raw_server: str
    name: str
    """Python spelling, unique within the server."""

    definition: ToolDefinition
    parameters: tuple[Parameter, ...]
    open_keywords: bool
    """True where the schema admits arguments that it does not list."""

    function: str
    """The plain name where it is offered, else `full_name`."""

    schema: CleanSchema
    returns: CleanSchema | None
    problems: tuple[str, ...]
    """What is wrong with the definition, for people. The tool works; the parts named here are not checked."""

    @property
    def full_name(self) -> str:
        return f"{self.server}.{self.name}"

    def parameter(self, name: str) -> Parameter | None:
        """Find a parameter by either of its names. No name can mean two parameters."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, Parameter]:
        by_raw = {parameter.raw: parameter for parameter in self.parameters}
        return by_raw | {parameter.name: parameter for parameter in self.parameters}


@dataclass(frozen=True, kw_only=True, eq=False)
class CatalogServer:
    """One server: a namespace in plans."""

    name: str
    """Python spelling, unique among the servers."""

    raw_name: str
    tools: Mapping[str, CatalogTool]
    """By Python spelling, in the server's own order."""

    definitions: tuple[ToolDefinition, ...]
    """What the tools were made from."""

    def tool(self, name: str) -> CatalogTool | None:
        """Find a tool by either of its names, the Python spelling first."""
        return self.tools.get(name) or self.by_raw.get(name)

    @cached_property
    def by_raw(self) -> Mapping[str, CatalogTool]:
        return {tool.definition.name: tool for tool in self.tools.values()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalog:
    """Everything that plans can call."""

    generation: int
    servers: Mapping[str, CatalogServer]
    """By Python spelling."""

    plain: Mapping[str, CatalogTool] = field(repr=False)
    """Names that need no server before them: unique, and hiding no builtin, helper or server."""

    @classmethod
    def build(
        cls,
        servers: Mapping[str, Sequence[ToolDefinition]],
        *,
        generation: int = 1,
        previous: Catalog | None = None,
    ) -> Self:
        """Name everything. What did not change since `previous` is taken over, objects and all."""
        names = server_names(servers)
        before = {server.raw_name: server for server in previous.servers.values()} if previous is not None else {}
        drafts = [_server(names[raw], raw, tuple(definitions), before.get(raw)) for raw, definitions in servers.items()]
        plain = _plain_names(drafts)
        finished = [_with_functions(server, plain) for server in drafts]
        return cls(
            generation=generation,
            servers=MappingProxyType({server.name: server for server in finished}),
            plain=MappingProxyType(
                {tool.name: tool for server in finished for tool in server.tools.values() if tool.name in plain}
            ),
        )

    def __len__(self) -> int:
        return sum(len(server.tools) for server in self.servers.values())

    def __iter__(self) -> Iterator[CatalogTool]:
        """All tools, server by server."""
        return (tool for server in self.servers.values() for tool in server.tools.values())

    def resolve(self, name: str) -> CatalogServer | CatalogTool | None:
        """Find what a plan calls `name`: a plain function, a server, or `server.tool`.

        Python spellings win; raw names are accepted where they mean one thing only.
        """
        found = self.plain.get(name) or self.servers.get(name)
        if found is not None or len(name) > LONGEST_NAME:
            return found
        server, _, tool = name.partition(".")
        if server in self.servers and tool in self.servers[server].tools:
            return self.servers[server].tools[tool]
        return self._by_raw_name(name)

    def server(self, name: str) -> CatalogServer | None:
        """Find a server by its Python spelling or its raw name."""
        return self.servers.get(name) or self._raw_servers.get(name)

    def by_raw(self, raw_tool: str, server: str | None, *, suggest: bool = True) -> CatalogTool:
        """Find a tool by its raw name, for `call_tool`. Raises ToolNotFoundError or AmbiguousToolError.

        `suggest`: the error says what may have been meant, which takes a while.
        """
        if server is None:
            return self._on_any_server(raw_tool, suggest=suggest)
        found = self.server(server)
        if found is None:
            raise ToolNotFoundError(f"There is no server {quoted(server)}.{self._servers_hint(server)}")
        tool = found.by_raw.get(raw_tool) or found.tools.get(raw_tool)
        if tool is None:
            hint = did_you_mean(raw_tool, {*found.by_raw, *found.tools}) if suggest else ""
            raise ToolNotFoundError(f"Server {server!r} has no tool {quoted(raw_tool)}.{hint}")
        return tool

    def closest(self, name: str) -> str | None:
        """Return the name that was probably meant, spelled so that a plan can use it."""
        server, dot, tool = name.partition(".")
        if dot and (found := self.resolve(server)) and isinstance(found, CatalogServer):
            close = closest(tool, found.tools)
            if close is not None:
                return f"{found.name}.{close}"
        close = closest(name, self._suggestions)
        return None if close is None else self._suggestions[close]

    @cached_property
    def _raw_servers(self) -> Mapping[str, CatalogServer]:
        return {server.raw_name: server for server in self.servers.values()}

    @cached_property
    def _raw_tools(self) -> Mapping[str, tuple[CatalogTool, ...]]:
        found: dict[str, tuple[CatalogTool, ...]] = {}
        for tool in self:
            for name in {tool.definition.name, tool.name}:
                found[name] = (*found.get(name, ()), tool)
        return found

    @cached_property
    def _suggestions(self) -> Mapping[str, str]:
        """What to compare a mistaken name with → what to suggest instead."""
        offered = {tool.name: tool.function for tool in reversed(list(self))}
        offered |= {tool.full_name: tool.full_name for tool in self}
        return offered | {name: name for name in self.servers}

    def _by_raw_name(self, name: str) -> CatalogServer | CatalogTool | None:
        if name in self._raw_servers:
            return self._raw_servers[name]
        tools = self._raw_tools.get(name, ())
        if len(tools) == 1 and tools[0].definition.name == name:
            return tools[0]
        dotted = list(self._split_anywhere(name))
        return dotted[0] if len(dotted) == 1 else None

    def _split_anywhere(self, name: str) -> Iterator[CatalogTool]:
        """Raw names may hold dots themselves, so any of them may be the one between server and tool."""
        for position in (index for index, char in enumerate(name) if char == "."):
            head = name[:position]
            server = self.server(head)
            if server and (tool := server.tool(name[position + 1 :])):
                yield tool

    def _on_any_server(self, raw_tool: str, *, suggest: bool) -> CatalogTool:
        tools = self._raw_tools.get(raw_tool, ())
        exact = [tool for tool in tools if tool.definition.name == raw_tool] or list(tools)
        if len(exact) > 1:
            owners = ", ".join(repr(tool.raw_server) for tool in exact)
            raise AmbiguousToolError(f"Several servers have a tool {raw_tool!r}: {owners}. Say which with server=…")
        if not exact:
            dotted = self.resolve(raw_tool)
            if isinstance(dotted, CatalogTool):
                return dotted
            hint = did_you_mean(raw_tool, self._raw_tools) or self._servers_hint(raw_tool) if suggest else ""
            raise ToolNotFoundError(f"There is no tool {quoted(raw_tool)}.{hint}")
        return exact[0]

    def _servers_hint(self, name: str) -> str:
        close = did_you_mean(name, {*self._raw_servers, *self.servers})
        known = ", ".join(repr(raw) for raw in self._raw_servers) or "none"
        return f"{close} Connected servers: {known}."


def _server(
    name: str, raw_name: str, definitions: tuple[ToolDefinition, ...], before: CatalogServer | None
) -> CatalogServer:
    if before is not None and before.name == name and before.definitions == definitions:
        return before
    first: dict[str, ToolDefinition] = {}
    for definition in definitions:
        first.setdefault(definition.name, definition)
    repeated = Counter(definition.name for definition in definitions)
    names = tool_names(first)
    tools = {
        names[raw]: _tool(name, raw_name, names[raw], definition, repeated=repeated[raw] > 1)
        for raw, definition in first.items()
    }
    return CatalogServer(name=name, raw_name=raw_name, tools=MappingProxyType(tools), definitions=definitions)


def _tool(server: str, raw_server: str, name: str, definition: ToolDefinition, *, repeated: bool) -> CatalogTool:
    schema = clean(definition.input_schema)
    returns = clean(definition.output_schema) if definition.output_schema is not None else None
    taken = members(schema.root, schema)
    problems = [*definition.defects, *(f"input {problem}" for problem in schema.problems)]
    problems += [f"output {problem}" for problem in returns.problems] if returns else []
    problems += ["listed more than once; the first one counts"] if repeated else []
    return CatalogTool(
        server=server,
        raw_server=raw_server,
        name=name,
        definition=definition,
        parameters=_parameters(taken),
        open_keywords=_is_open(taken),
        function=f"{server}.{name}",
        schema=schema,
        returns=returns,
        problems=tuple(problems),
    )


def _parameters(taken: Members) -> tuple[Parameter, ...]:
    undeclared = sorted(taken.required - taken.properties.keys())
    properties = dict(taken.properties) | dict.fromkeys(undeclared, True)
    names = parameter_names(properties)
    return tuple(_parameter(names[raw], raw, schema, raw in taken.required) for raw, schema in properties.items())


def _parameter(name: str, raw: str, schema: Schema, required: bool) -> Parameter:
    said = schema if isinstance(schema, dict) else {}
    null_is_absence = not required and said.get("default", ...) is None and not _admits_null(said)
    return Parameter(
        name=name,
        raw=raw,
        required=required,
        schema=schema,
        has_default="default" in said,
        default=said.get("default"),
        description=str(said.get("description", "")),
        null_is_absence=null_is_absence,
    )


def _admits_null(schema: JSONObject) -> bool:
    """Say whether null fits, as far as the type tells; without one it may."""
    types = schema.get("type", "null")
    return types == "null" or (isinstance(types, list) and "null" in types)


def _is_open(taken: Members) -> bool:
    """Decide about arguments that the schema does not list.

    JSON Schema admits them wherever it does not say otherwise, and hardly any server means that: where
    parameters are listed, others count as mistakes unless the schema speaks of them.
    """
    if taken.additional is None:
        return not taken.listed
    return taken.additional is not False


def _plain_names(servers: Iterable[CatalogServer]) -> frozenset[str]:
    servers = list(servers)
    counted = Counter(name for server in servers for name in server.tools)
    hidden = RESERVED | {server.name for server in servers}
    return frozenset(name for name, count in counted.items() if count == 1 and name not in hidden)


def _with_functions(server: CatalogServer, plain: frozenset[str]) -> CatalogServer:
    tools = {name: _with_function(tool, plain) for name, tool in server.tools.items()}
    if all(tool is server.tools[name] for name, tool in tools.items()):
        return server
    return replace(server, tools=MappingProxyType(tools))


def _with_function(tool: CatalogTool, plain: frozenset[str]) -> CatalogTool:
    function = tool.name if tool.name in plain else tool.full_name
    return tool if tool.function == function else replace(tool, function=function)
