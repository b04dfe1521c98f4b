"""What can be configured: one class per section, and the Config that they make up.

The section classes read foreign data, so they are strict and know every key; the Config is what the rest of
the program sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StrictStr

from planact_server.sandbox import Limits
from planact_server.trust import local_pack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _checked_pattern(pattern: str) -> str:
    if not pattern or pattern != pattern.strip():
        raise ValueError('a pattern is "server" or "server.tool", with * for any characters')
    return pattern


def _checked_spec(spec: str) -> str:
    if not spec.strip() or "\0" in spec:
        raise ValueError('a pack is the name of a shipped one ("calendar") or a path ("./my_pack.py")')
    return spec


# TOML has lists only, so the container is lenient and the elements stay strict.
Patterns: TypeAlias = Annotated[tuple[Annotated[StrictStr, AfterValidator(_checked_pattern)], ...], Strict(False)]
PackNames: TypeAlias = Annotated[tuple[Annotated[StrictStr, AfterValidator(_checked_spec)], ...], Strict(False)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of planact.toml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PolicyTable(Section):
    """`[policy]` as a file may write it. Policy.decide says how the patterns work together."""

    trust: Patterns = ()
    """Servers whose read-only marks count."""

    allow: Patterns = ()
    ask: Patterns = ()
    deny: Patterns = ()
    default: Literal["allow", "ask", "deny"] = "ask"
    """What happens to a write that no pattern covers."""

    open_world_reads: Literal["allow", "ask"] = "allow"
    approve_without_terminal: bool = False


class PolicySettings(PolicyTable):
    """`[policy]` in force."""

    also_ask: Patterns = ()
    """From a folder that is not trusted: can only tighten."""

    also_deny: Patterns = ()
    """From a folder that is not trusted: can only tighten."""


class PlannerSettings(Section):
    """`[planner]`: who turns a task into a plan."""

    backend: Literal["local", "openai"] = "local"
    base_url: str | None = None
    model: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


class ModelSettings(Section):
    """`[model]`: the on-device model. It has no keys yet."""


class SandboxSettings(Section):
    """`[sandbox]`: what one plan may use, and how many workers wait for one."""

    engine: Literal["auto", "fork", "spawn"] = "auto"
    """How a worker comes to be; `auto` forks where the system can."""

    seconds: Seconds = 300.0
    memory_mb: Annotated[int, Field(ge=32)] = 256
    output_bytes: Count = 1_000_000
    source_bytes: Count = 200_000
    calls: Count = 1_000
    calls_in_flight: Count = 64
    warm_workers: Annotated[int, Field(ge=0)] = 1
    """Workers kept ready for the next session."""

    idle_seconds: Seconds = 900.0
    """A session's worker that was not used for so long is let go; the session stays."""

    @property
    def limits(self) -> Limits:
        return Limits(
            seconds=self.seconds,
            memory_bytes=self.memory_mb * 1024 * 1024,
            output_bytes=self.output_bytes,
            source_bytes=self.source_bytes,
            calls=self.calls,
            calls_in_flight=self.calls_in_flight,
        )


class ParallelSettings(Section):
    """`[parallel]`: running independent reads at once. It has no keys yet."""


class PrivacySettings(Section):
    """`[privacy]`: what may leave the device. It has no keys yet."""


class ResultSettings(Section):
    """`[results]`: how tool results become Python values."""

    raw: Patterns = ()
    """Tools whose text is never parsed as JSON, as `server.tool` patterns."""


class ServerSettings(Section):
    """`[servers]`: patience with the connected servers."""

    start_timeout_seconds: Seconds = 30.0
    call_timeout_seconds: Seconds = 120.0


SECTIONS: Mapping[str, type[Section]] = {
    "policy": PolicyTable,
    "planner": PlannerSettings,
    "model": ModelSettings,
    "sandbox": SandboxSettings,
    "parallel": ParallelSettings,
    "privacy": PrivacySettings,
    "results": ResultSettings,
    "servers": ServerSettings,
}
"""The tables that a file may have."""


class TopLevel(Section):
    """The keys above the first table."""

    packs: PackNames = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSpec:
    """A tool pack to load."""

    spec: str
    """As it was written: a shipped pack's name, or a path."""

    base: Path
    """The folder that a relative path starts from."""

    origin: str
    """Who asked for it: a file, the environment, the command line."""

    @property
    def path(self) -> Path | None:
        """Return the file or folder of a local pack, None for a shipped one."""
        return local_pack(self.spec, self.base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be configured, merged and checked."""

    state: Path
    """The folder for runs, sessions and caches. It need not exist yet."""

    packs: tuple[PackSpec, ...] = ()
    policy: PolicySettings = field(default_factory=PolicySettings)
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    results: ResultSettings = field(default_factory=ResultSettings)
    servers: ServerSettings = field(default_factory=ServerSettings)

    mcp_files: tuple[Path, ...] = ()
    """The mcp.json files in force, later ones winning where they name the same server."""

    files: tuple[Path, ...] = ()
    """The planact.toml files in force, later ones winning."""

    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dotted key → where its value comes from; keys at their defaults are left out."""

    notices: tuple[str, ...] = ()
    """Sentences that a person should see: what was found and left out."""
