"""Who may write: one decision for one tool, from the user's patterns and from the tool's own marks.

Pure: settings and facts in, a decision out. The rules, in order:

1. A *read* is a tool that its server marks as read-only and not as destructive, on a server whose marks the
   user trusts. Everything else is a write; a tool without marks is one.
2. Of all `allow`, `ask` and `deny` patterns that cover the tool, the most specific decides. A pattern without
   `*` is more specific than one with; between two with `*`, the one with more other characters. Equally
   specific: `deny` before `ask` before `allow`.
3. Without a pattern: a read is allowed (or asked about, if `open_world_reads = "ask"` and the tool may reach
   the open world); a write gets `default`.
4. The patterns of an untrusted folder only tighten: whatever they cover is asked or denied, never less.

A pattern is `server.tool`; `*` stands for any characters, dots too; `server` alone means `server.*`. Either
spelling of a name matches, the owner's and the Python one. Upper and lower case differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Verdict: TypeAlias = Literal["allow", "ask", "deny"]

_SEVERITY: dict[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}


class PolicyRules(Protocol):
    """What the user has decided: the `[policy]` section, or anything of its shape."""

    @property
    def trust(self) -> Sequence[str]: ...
    @property
    def allow(self) -> Sequence[str]: ...
    @property
    def ask(self) -> Sequence[str]: ...
    @property
    def deny(self) -> Sequence[str]: ...
    @property
    def default(self) -> Verdict: ...
    @property
    def open_world_reads(self) -> Literal["allow", "ask"]: ...
    @property
    def also_ask(self) -> Sequence[str]:
        """Patterns that only tighten: `ask` of a folder that is not trusted."""
        ...

    @property
    def also_deny(self) -> Sequence[str]:
        """Patterns that only tighten: `deny` of a folder that is not trusted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What is known about a tool before it is called. A mark that is `None` was not given."""

    server: str
    """The server's name as configured."""

    server_name: str
    """The server's name in a plan."""

    tool: str
    """The tool's name as its owner spells it."""

    tool_name: str
    """The tool's name in a plan."""

    identity: str = ""
    """What remembered decisions bind to: command line, URL or file. Patterns go by name."""

    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None
    shipped: bool = False
    """True for the packs that come with Planact: their marks are trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What happens to a call, and why."""

    verdict: Verdict
    read_only: bool
    """True for a read in the sense of rule 1, whatever the verdict."""

    reason: str
    toml: str = ""
    """Lines for planact.toml that would allow the call; empty when it is allowed, or when adding is not enough."""

    @property
    def hint(self) -> str | None:
        """Say how to allow the call; None where adding lines is not enough."""
        if not self.toml:
            return None
        return f"To allow it, add to [policy] in your planact.toml, to the list there if it has one:\n{self.toml}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecidedServer:
    """A server that the user has said nothing, or not everything, about."""

    server: str
    tools: int
    reads: int
    """How many of its tools it marks as read-only."""

    pattern: str
    """What `trust` needs so that its marks count; empty when it marks nothing."""

    def __str__(self) -> str:
        if self.reads:
            return f"{self.server}: marks {self.reads} of its {self.tools} tools as read-only; trust that?"
        return f"{self.server}: marks none of its {self.tools} tools as read-only, so every call needs approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    verdict: Verdict
    pattern: str

    @property
    def weight(self) -> tuple[bool, int, int]:
        """Compare equal rules by severity, so that the largest weight decides."""
        whole = _whole(self.pattern)
        return "*" not in whole, len(whole.replace("*", "")), _SEVERITY[self.verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """A settable copy of `PolicyRules`, for asking what one more line would do."""

    trust: tuple[str, ...]
    allow: tuple[str, ...]
    ask: tuple[str, ...]
    deny: tuple[str, ...]
    default: Verdict
    open_world_reads: Literal["allow", "ask"]
    also_ask: tuple[str, ...]
    also_deny: tuple[str, ...]


class Policy:
    """The user's rules, ready to be asked."""

    def __init__(self, rules: PolicyRules) -> None:
        self._rules = _Rules(
            trust=tuple(rules.trust),
            allow=tuple(rules.allow),
            ask=tuple(rules.ask),
            deny=tuple(rules.deny),
            default=rules.default,
            open_world_reads=rules.open_world_reads,
            also_ask=tuple(rules.also_ask),
            also_deny=tuple(rules.also_deny),
        )

    def decide(self, tool: ToolFacts) -> Decision:
        """Decide about a call of `tool`, whatever its arguments."""
        decision = _decide(self._rules, tool)
        if decision.verdict == "allow":
            return decision
        return replace(decision, toml=self._suggestion(tool))

    def trusts(self, tool: ToolFacts) -> bool:
        """Say whether the read marks of the tool's server count."""
        return _trusts(self._rules, tool)

    def undecided(self, tools: Iterable[ToolFacts]) -> tuple[UndecidedServer, ...]:
        """Return the servers that are not trusted and have tools that no pattern covers, in order of appearance."""
        servers: dict[str, list[ToolFacts]] = {}
        for tool in tools:
            servers.setdefault(tool.server, []).append(tool)
        return tuple(_undecided(of_server) for of_server in servers.values() if self._is_undecided(of_server))

    def unmatched(self, tools: Iterable[ToolFacts]) -> tuple[str, ...]:
        """Return the patterns that cover none of `tools`: most likely misspelt, or their server is gone."""
        known = list(tools)
        rules = self._rules
        patterns = [p for p in rules.trust if not any(_matches_server(p, tool) for tool in known)]
        patterns += [
            pattern
            for pattern in (*rules.allow, *rules.ask, *rules.deny)
            if not any(_covers(pattern, tool) for tool in known)
        ]
        return tuple(dict.fromkeys(patterns))

    def _is_undecided(self, tools: Sequence[ToolFacts]) -> bool:
        return not self.trusts(tools[0]) and any(_rule_for(self._rules, tool) is None for tool in tools)

    def _suggestion(self, tool: ToolFacts) -> str:
        """Return the line that would allow the call, tried out; trusting comes first where it is enough."""
        rules, server, name = self._rules, _spelling(tool.server, tool.server_name), _exact_pattern(tool)
        trusting = replace(rules, trust=(*rules.trust, server))
        if _is_marked_read(tool) and _decide(trusting, tool).verdict == "allow":
            return _toml("trust", server)
        if _decide(replace(rules, allow=(*rules.allow, name)), tool).verdict == "allow":
            return _toml("allow", name)
        return ""


def _decide(rules: _Rules, tool: ToolFacts) -> Decision:
    decision = _by_user(rules, tool)
    tightening: tuple[tuple[Verdict, tuple[str, ...]], ...] = (("deny", rules.also_deny), ("ask", rules.also_ask))
    for verdict, patterns in tightening:
        pattern = next((p for p in patterns if _covers(p, tool)), None)
        if pattern is not None and _SEVERITY[verdict] > _SEVERITY[decision.verdict]:
            reason = f"{verdict} = [{_quoted(pattern)}] in this folder's planact.toml"
            return replace(decision, verdict=verdict, reason=reason)
    return decision


def _by_user(rules: _Rules, tool: ToolFacts) -> Decision:
    read = _trusts(rules, tool) and _is_marked_read(tool)
    rule = _rule_for(rules, tool)
    if rule is not None:
        reason = f"{rule.verdict} = [{_quoted(rule.pattern)}] in [policy]"
        return Decision(verdict=rule.verdict, read_only=read, reason=reason)
    if not read:
        return Decision(verdict=rules.default, read_only=False, reason=_why_write(rules, tool))
    if rules.open_world_reads == "ask" and tool.open_world is not False:
        reason = 'it reads, but may reach the open world, and open_world_reads = "ask"'
        return Decision(verdict="ask", read_only=True, reason=reason)
    return Decision(verdict="allow", read_only=True, reason="it only reads")


def _why_write(rules: _Rules, tool: ToolFacts) -> str:
    if _is_marked_read(tool):
        return f"you have not decided whether to trust the read marks of server {tool.server!r}"
    if tool.read_only is None:
        return "it is not marked as read-only, so it counts as a write"
    return f'it writes, and writes are default = "{rules.default}"'


def _rule_for(rules: _Rules, tool: ToolFacts) -> _Rule | None:
    verdicts: tuple[tuple[Verdict, tuple[str, ...]], ...] = (
        ("allow", rules.allow),
        ("ask", rules.ask),
        ("deny", rules.deny),
    )
    covering = [
        _Rule(verdict=verdict, pattern=pattern)
        for verdict, patterns in verdicts
        for pattern in patterns
        if _covers(pattern, tool)
    ]
    return max(covering, key=lambda rule: rule.weight, default=None)


def _is_marked_read(tool: ToolFacts) -> bool:
    # A tool that claims to be read-only and destructive at once has no claim to be believed.
    return tool.read_only is True and tool.destructive is not True


def _trusts(rules: _Rules, tool: ToolFacts) -> bool:
    return tool.shipped or any(_matches_server(pattern, tool) for pattern in rules.trust)


def _matches_server(pattern: str, tool: ToolFacts) -> bool:
    return any(matches(pattern, name) for name in (tool.server, tool.server_name))


def _covers(pattern: str, tool: ToolFacts) -> bool:
    whole = _whole(pattern)
    return any(
        matches(whole, f"{server}.{name}")
        for server in (tool.server, tool.server_name)
        for name in (tool.tool, tool.tool_name)
    )


def _whole(pattern: str) -> str:
    return pattern if "." in pattern else f"{pattern}.*"


def matches(pattern: str, name: str) -> bool:
    """Say whether `name` fits `pattern`, in which `*` stands for any characters.

    Linear in both, unlike a regular expression: patterns may come from a folder that nobody trusts.
    """
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == name
    last = middle.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _undecided(tools: Sequence[ToolFacts]) -> UndecidedServer:
    reads = sum(_is_marked_read(tool) for tool in tools)
    pattern = _spelling(tools[0].server, tools[0].server_name) if reads else ""
    return UndecidedServer(server=tools[0].server, tools=len(tools), reads=reads, pattern=pattern)


def _exact_pattern(tool: ToolFacts) -> str:
    return f"{_spelling(tool.server, tool.server_name)}.{_spelling(tool.tool, tool.tool_name)}"


def _spelling(raw: str, python: str) -> str:
    """Prefer the owner's spelling, unless a pattern or a TOML file could not carry it."""
    return raw if raw.isprintable() and raw.strip() == raw and raw and "*" not in raw else python


def _toml(key: str, pattern: str) -> str:
    return f"[policy]\n{key} = [{_quoted(pattern)}]"


def _quoted(text: str) -> str:
    # A JSON string is a TOML string as long as it is printable.
    return json.dumps(text, ensure_ascii=not text.isprintable())
