"""What can be configured: one class per section, and the Config that they make up.

The section classes read foreign data, so they are strict and know every key; the Config is what the rest of
the program sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictStr

from planact_server.sandbox import Limits
from planact_server.trust import local_pack

if TYPE_CHECKING:
    from collections.abc import Mapping


def _checked_pattern(pattern: str) -> str:
    if not pattern or pattern != pattern.strip():
        raise ValueError('a pattern is "server" or "server.tool", with * for any characters')
    return pattern


def _checked_spec(spec: str) -> str:
    if not spec.strip() or "\0" in spec:
        raise ValueError('a pack is the name of a shipped one ("calendar") or a path ("./my_pack.py")')
    return spec


def _whole_number(value: object) -> object:
    """In the environment a number is text, like `auto`. llama.cpp says -1 for all."""
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        value = int(value)
    if value == -1:
        return "all"
    if isinstance(value, bool) or (isinstance(value, int) and value < 0) or not isinstance(value, int | str):
        raise ValueError('a number of layers, "all" or "auto"')
    return value


def _on_this_machine(base_url: str) -> str:
    """Refuse another host: every search would send it what is looked for, and what all tools say about themselves."""
    # Reading addresses loads a few modules, and most configurations have none.
    from planact_quantized.openai.address import read_address  # noqa: PLC0415

    if base_url and not read_address(base_url).local:
        raise ValueError("an address on this machine, http://127.0.0.1:8081/v1 for instance")
    return base_url


# TOML has lists only, so the container is lenient and the elements stay strict.
Patterns: TypeAlias = Annotated[tuple[Annotated[StrictStr, AfterValidator(_checked_pattern)], ...], Strict(False)]
PackNames: TypeAlias = Annotated[tuple[Annotated[StrictStr, AfterValidator(_checked_spec)], ...], Strict(False)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


def _numbers(values: object) -> object:
    """In the environment a list is text with commas; words stay words, and are refused."""
    if not isinstance(values, list | tuple):
        return values
    parts = cast("list[object]", values)
    return [float(part) if isinstance(part, str) and part.replace(".", "", 1).isdigit() else part for part in parts]


Shares: TypeAlias = Annotated[
    tuple[Annotated[float, Field(ge=0), Strict()], ...], Strict(False), BeforeValidator(_numbers)
]


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
    """`[planner]`: who turns a task into a plan, and how."""

    backend: Literal["local", "openai"] = "local"
    base_url: str | None = None
    model: str | None = None
    """An installed model's name or a GGUF file's path; with `openai` what the server calls it."""

    api_key: str | None = Field(default=None, repr=False)
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    candidates: Annotated[int, Field(ge=0, le=16)] = 4
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.7
    grammar: bool = True
    repetition: bool = True
    expansion: bool = False
    expansion_depth: Annotated[int, Field(ge=1, le=5)] = 2
    ask_model: bool = True
    tools: Annotated[int, Field(ge=1, le=1_000)] = 40
    max_tokens: Annotated[int, Field(ge=16, le=100_000)] = 1_024
    seconds: Seconds = 300.0
    """Longest time for one text of the model."""

    prompt: Literal["evaluation", "package"] = "evaluation"


class ModelSettings(Section):
    """`[model]`: how the on-device model is loaded, in llama.cpp's words."""

    device: str = "auto"
    n_gpu_layers: Annotated[int | Literal["auto", "all"], BeforeValidator(_whole_number)] = "auto"
    n_ctx: Annotated[int, Field(ge=0)] = 0
    """Prompt and text together, in tokens. 0: as much as is useful and fits."""

    main_gpu: Annotated[int, Field(ge=0)] = 0
    tensor_split: Shares = ()
    split_mode: Literal["none", "layer", "row"] = "layer"
    kv_type: Literal["auto", "f16", "q8_0", "q4_0"] = "auto"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    threads_batch: Annotated[int, Field(ge=0)] = 0
    n_batch: Annotated[int, Field(ge=32)] = 512
    forced_tokens: bool = True
    drafting: Literal["auto", "on", "off"] = "auto"
    prefix_cache_mb: Annotated[int, Field(ge=0)] = 2_048
    load_seconds: Seconds = 300.0
    idle_seconds: Seconds = 600.0

    def wishes(self) -> dict[str, Any]:
        """Return what is asked for in the names of `EngineSettings`; what is left to choose is left out."""
        given = self.model_dump(exclude_unset=True, exclude={"n_ctx", "n_gpu_layers", "kv_type", "prefix_cache_mb"})
        wishes: dict[str, Any] = {_OF_LLAMA_CPP.get(key, key): value for key, value in given.items()}
        # Nothing of the model is loaded for a configuration that is only read.
        from planact_quantized import ALL_LAYERS  # noqa: PLC0415

        if self.n_ctx:
            wishes["context_tokens"] = self.n_ctx
        if self.n_gpu_layers != "auto":
            wishes["gpu_layers"] = ALL_LAYERS if self.n_gpu_layers == "all" else self.n_gpu_layers
        if self.kv_type != "auto":
            wishes["kv_type"] = self.kv_type
        if "prefix_cache_mb" in self.model_fields_set:
            wishes["prefix_bytes"] = self.prefix_cache_mb * 1024 * 1024
        return wishes


_OF_LLAMA_CPP = {"threads_batch": "batch_threads", "n_batch": "batch_tokens"}


class SandboxSettings(Section):
    """`[sandbox]`: what one plan may use, and how many workers wait for one."""

    engine: Literal["auto", "fork", "spawn", "monty"] = "auto"
    """What runs plans; `auto` forks Python where the system can, else takes Monty where that is installed."""

    allow_weaker: bool = False
    """Run plans also where the system lacks a layer that the jail has to have; every answer then says so."""

    seconds: Seconds = 300.0
    cpu_seconds: Seconds = 60.0
    memory_mb: Annotated[int, Field(ge=32)] = 256
    output_bytes: Count = 1_000_000
    source_bytes: Count = 200_000
    calls: Count = 1_000
    calls_in_flight: Count = 64
    warm_workers: Annotated[int, Field(ge=0)] = 1
    """Workers kept ready for the next session."""

    idle_seconds: Seconds = 900.0
    """A session's worker that was not used for so long is let go; the session stays."""

    pool_idle_seconds: Seconds = 600.0
    """When no session has begun for so long, the workers kept ready go; after three times as long the process that
    they are forked from goes too. The next session starts both again.
    """

    @property
    def limits(self) -> Limits:
        return Limits(
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
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


class SearchSettings(Section):
    """`[search]`: an embedding model that helps to find tools."""

    base_url: Annotated[str, AfterValidator(_on_this_machine)] = ""
    """Of a server on this machine that speaks the OpenAI protocol; empty: tools are found by their words alone."""

    model: str = ""
    api_key: str = Field(default="", repr=False)
    seconds: Seconds = 5.0
    """How long one search may wait for it."""


SECTIONS: Mapping[str, type[Section]] = {
    "policy": PolicyTable,
    "planner": PlannerSettings,
    "model": ModelSettings,
    "sandbox": SandboxSettings,
    "parallel": ParallelSettings,
    "privacy": PrivacySettings,
    "results": ResultSettings,
    "servers": ServerSettings,
    "search": SearchSettings,
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

    cwd: Path = field(default_factory=Path, compare=False)
    """The folder that Planact works in, as it was when this was read: it may go away."""

    packs: tuple[PackSpec, ...] = ()
    policy: PolicySettings = field(default_factory=PolicySettings)
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    results: ResultSettings = field(default_factory=ResultSettings)
    servers: ServerSettings = field(default_factory=ServerSettings)
    search: SearchSettings = field(default_factory=SearchSettings)

    mcp_files: tuple[Path, ...] = ()
    """The mcp.json files in force, later ones winning where they name the same server."""

    mcp_contents: Mapping[Path, bytes] = field(default_factory=dict[Path, bytes])
    """What of them was read already, as it was when trust was looked at."""

    files: tuple[Path, ...] = ()
    """The planact.toml files in force, later ones winning."""

    own_files: Mapping[Path, Mapping[str, object]] = field(
        default_factory=dict[Path, "Mapping[str, object]"], compare=False, repr=False
    )
    """The planact.toml files that are the user's, or would be if they were there → dotted key → its value there."""

    watched: tuple[Path, ...] = field(default=(), compare=False)
    """The files of either kind that count, or would if they were there."""

    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dotted key → where its value comes from; keys at their defaults are left out."""

    notices: tuple[str, ...] = ()
    """Sentences that a person should see: what was found and left out."""
