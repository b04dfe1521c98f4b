"""Where package runners live that a shell finds and a desktop application does not.

A host that was started from a dock or a menu has the PATH of the system: without Homebrew, without the version
managers of Node and Python, without what `uv` or `cargo` installed into the home folder.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AT_HOME = (
    *(".local/bin", ".cargo/bin", ".volta/bin", ".bun/bin", ".deno/bin", ".npm-global/bin", "n/bin", "go/bin"),
    *(
        ".asdf/shims",
        ".local/share/mise/shims",
        ".pyenv/shims",
        ".nodenv/shims",
        ".local/share/fnm/aliases/default/bin",
    ),
    *(".docker/bin", ".orbstack/bin", ".rd/bin", ".nix-profile/bin"),
)
_MACOS = (
    *("/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"),
    "/Applications/Docker.app/Contents/Resources/bin",
    "~/Library/Application Support/fnm/aliases/default/bin",
)
_LINUX = ("/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin", "/snap/bin")
_NIX = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")
_WINDOWS = (
    *("%USERPROFILE%/.local/bin", "%USERPROFILE%/.cargo/bin", "%USERPROFILE%/.bun/bin", "%USERPROFILE%/scoop/shims"),
    *("%PROGRAMFILES%/nodejs", "%APPDATA%/npm", "%LOCALAPPDATA%/Volta/bin", "%APPDATA%/fnm/aliases/default"),
    *("%LOCALAPPDATA%/mise/shims", "%LOCALAPPDATA%/Microsoft/WinGet/Links", "%PROGRAMDATA%/chocolatey/bin"),
    *("%SYSTEMDRIVE%/nvm4w/nodejs", "%PROGRAMFILES%/Docker/Docker/resources/bin"),
)


def well_known_folders(environ: Mapping[str, str], *, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the folders of that kind that exist here, the likeliest first."""
    found = (path for path in _candidates(environ, platform) if path.is_dir())
    return tuple(dict.fromkeys(map(str, found)))


def _candidates(environ: Mapping[str, str], platform: str) -> Iterator[Path]:
    if platform == "win32":
        yield from _windows(environ)
        return
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    yield from _nvm(home)
    for written in (*_AT_HOME, *(_MACOS if platform == "darwin" else _LINUX), *_NIX):
        yield home / written.removeprefix("~/")


def _windows(environ: Mapping[str, str]) -> Iterator[Path]:
    for written in _WINDOWS:
        variable, _, rest = written.strip("%").partition("%/")
        if value := environ.get(variable):
            # A drive alone ("C:") would be the current folder of that drive.
            yield Path(f"{value}/") / rest


def _nvm(home: Path) -> Iterator[Path]:
    """Return the folder of the version of Node that nvm makes the default, then those of the newest ones."""
    versions = home / ".nvm" / "versions" / "node"
    try:
        installed = sorted((each for each in versions.iterdir() if each.is_dir()), key=_release, reverse=True)
    except OSError:
        return
    try:
        wanted = (home / ".nvm" / "alias" / "default").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        wanted = ""
    chosen = [each for each in installed if _is_release(each.name, wanted)]
    for version in [*chosen, *installed][:1]:
        yield version / "bin"


def _release(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name)]


def _is_release(name: str, wanted: str) -> bool:
    """Say whether a version "v22.9.0" is the one that "22", "v22.9" or "22.9.0" asks for."""
    return bool(wanted) and f"{name.removeprefix('v')}.".startswith(f"{wanted.removeprefix('v')}.")
