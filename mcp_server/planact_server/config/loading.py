"""Merging all sources into one Config; the later wins, key by key.

The order: the user's planact.toml, the current folder's (once trusted), the file named by --config or
PLANACT_CONFIG, PLANACT_* variables, the command line.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, cast

import platformdirs

from planact_server.config.environment import (
    CONFIG_VARIABLE,
    HOME_VARIABLE,
    environment_layers,
    override_layers,
)
from planact_server.config.folder import ADDING_KEYS, FolderSettings, folder_settings
from planact_server.config.reading import ConfigError, Layer, read_file
from planact_server.config.schema import (
    Config,
    ModelSettings,
    PackSpec,
    ParallelSettings,
    PlannerSettings,
    PolicySettings,
    PrivacySettings,
    ResultSettings,
    SandboxSettings,
    SearchSettings,
    Section,
    ServerSettings,
)
from planact_server.regular_file import real_path
from planact_server.store import Store, StoreError
from planact_server.trust import SERVERS_NAME, SETTINGS_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

S = TypeVar("S", bound=Section)


def load_config(
    *,
    config_file: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    overrides: Mapping[str, object] = MappingProxyType({}),
) -> Config:
    """Read and merge every source. Raises ConfigError for anything wrong in the user's own.

    `overrides` maps dotted keys ("policy.default") to values. The files of `cwd` are read as far as they are
    trusted; what they bring otherwise is in `Config.notices`.
    """
    state = _state_folder(environ, cwd)
    own_folder = user_folder(environ)
    named = _named_file(config_file, environ, cwd)
    own = _required(named) if named is not None else None
    user = read_file(own_folder / SETTINGS_NAME)
    folder, trust_notices = _folder(cwd, state, own=(own_folder / SETTINGS_NAME, named))

    merged = _Merged()
    merged.add(user)
    merged.add(folder.layer, keep=ADDING_KEYS)
    merged.add(own)
    for layer in (*environment_layers(environ, base=cwd), *override_layers(overrides, base=cwd)):
        merged.add(layer)
    candidates = (own_folder / SERVERS_NAME, folder.servers, named.parent / SERVERS_NAME if named else None)
    return Config(
        state=state,
        cwd=cwd,
        packs=tuple(merged.packs),
        policy=merged.section(PolicySettings, "policy", also_ask=folder.also_ask, also_deny=folder.also_deny),
        planner=merged.section(PlannerSettings, "planner"),
        model=merged.section(ModelSettings, "model"),
        sandbox=merged.section(SandboxSettings, "sandbox"),
        parallel=merged.section(ParallelSettings, "parallel"),
        privacy=merged.section(PrivacySettings, "privacy"),
        results=merged.section(ResultSettings, "results"),
        search=merged.section(SearchSettings, "search"),
        servers=merged.section(ServerSettings, "servers"),
        mcp_files=_files(candidates),
        mcp_contents={folder.servers.resolve(): folder.servers_content} if folder.servers is not None else {},
        files=_files(Path(layer.origin) for layer in (user, folder.layer, own) if layer is not None),
        own_files={
            path: layer.values if layer is not None else {}
            for path, layer in ((own_folder / SETTINGS_NAME, user), (named, own))
            if path is not None
        },
        watched=_candidates(own_folder, cwd, named),
        origins=MappingProxyType(merged.origins),
        notices=(*trust_notices, *folder.notices),
    )


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's own planact.toml and mcp.json."""
    return _xdg(environ, "XDG_CONFIG_HOME") or platformdirs.user_config_path("planact", appauthor=False)


@dataclass(slots=True)
class _Merged:
    """Values from the layers so far, later ones having replaced earlier ones."""

    values: dict[str, object] = field(default_factory=dict[str, object])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    packs: list[PackSpec] = field(default_factory=list[PackSpec])

    def add(self, layer: Layer | None, *, keep: frozenset[str] = frozenset()) -> None:
        """Lay `layer` over the rest; lists among the keys of `keep` are appended to instead of replaced."""
        if layer is None:
            return
        for key, value in layer.values.items():
            appends = key in keep and key in self.values
            before = cast("tuple[str, ...]", self.values.get(key, ())) if appends else ()
            self.values[key] = (*before, *cast("tuple[str, ...]", value)) if appends else value
            self.origins[key] = f"{self.origins[key]} and {layer.origin}" if appends else layer.origin
            if key == "planner.model" and str(value).startswith(("./", "../", "~/")):
                self.values[key] = str(layer.base / _at_home(str(value), key))
            if key == "packs":
                added = [
                    PackSpec(spec=spec, base=layer.base, origin=layer.origin) for spec in cast("tuple[str, ...]", value)
                ]
                self.packs = [*self.packs, *added] if appends else added

    def section(self, schema: type[S], name: str, **more: object) -> S:
        """Build a section from what was said about it."""
        prefix = f"{name}."
        said = {key.removeprefix(prefix): value for key, value in self.values.items() if key.startswith(prefix)}
        return schema.model_validate({**said, **more})


def _state_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    if home := environ.get(HOME_VARIABLE):
        return cwd / _at_home(home, HOME_VARIABLE)
    return _xdg(environ, "XDG_STATE_HOME") or platformdirs.user_state_path("planact", appauthor=False)


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    # platformdirs reads the process's own environment, which need not be the one that we were given.
    folder = environ.get(variable, "").strip()
    return Path(folder) / "planact" if folder and Path(folder).is_absolute() else None


def _named_file(config_file: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    variable = environ.get(CONFIG_VARIABLE)
    chosen = config_file or (Path(variable) if variable else None)
    return cwd / _at_home(str(chosen), "--config" if config_file else CONFIG_VARIABLE) if chosen is not None else None


def _at_home(path: str, given_by: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{given_by} is {path!r}: there is no such user.") from None


def _required(path: Path) -> Layer:
    layer = read_file(path)
    if layer is None:
        raise ConfigError(f"{path}: there is no such file. --config and {CONFIG_VARIABLE} name a planact.toml.")
    return layer


def _folder(cwd: Path, state: Path, *, own: Iterable[Path | None]) -> tuple[FolderSettings, tuple[str, ...]]:
    """Read the current folder's files, unless they are the user's own: then they count without trust."""
    here = real_path(cwd / SETTINGS_NAME)
    if any(path is not None and real_path(path) == here for path in own):
        return FolderSettings(), ()
    notices: list[str] = []

    def trusted(folder: Path) -> Mapping[str, str] | None:
        if not Store.exists(state):
            return None
        try:
            with Store.open(state) as store:
                notices.extend(store.notices)
                return store.trusted_folder(str(folder))
        except StoreError as error:
            notices.append(str(error))
            return None

    return folder_settings(cwd, trusted), tuple(notices)


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _candidates(own_folder: Path, cwd: Path, named: Path | None) -> tuple[Path, ...]:
    both = [folder / name for folder in (own_folder, cwd) for name in (SETTINGS_NAME, SERVERS_NAME)]
    return tuple(dict.fromkeys([*both, *((named, named.parent / SERVERS_NAME) if named is not None else ())]))


def _files(candidates: Iterable[Path | None]) -> tuple[Path, ...]:
    # A link that leads nowhere is none; one that leads to itself is a mistake that is told.
    there = [path for path in candidates if path is not None and (path.exists() or _is_loop(path))]
    for path in there:
        if not path.is_file():
            raise ConfigError(f"{str(path)!r} is a folder, a pipe or a device, not a file.")
    return tuple({real_path(path): path for path in there}.values())
