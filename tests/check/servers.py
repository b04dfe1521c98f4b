"""Real MCP servers for the checks: pinned, and installed once into the user's cache folder.

    python tests/check/servers.py      installs what is missing, prints how each is started

The servers written in Python get an environment of their own, as they have on a user's machine: what they depend on
is their business.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

_HERE = Path(__file__).parent
_NODE_FILES = (_HERE / "package.json", _HERE / "package-lock.json")
_PYTHON_FILES = (_HERE / "servers.txt",)


def installed() -> dict[str, list[str]]:
    """Return the command line of each server, installing what is missing.

    `filesystem` wants its allowed folders as further arguments; `git` takes `--repository FOLDER`; `memory` keeps its
    file where the environment's `MEMORY_FILE_PATH` says. Raises SystemExit, with one line, where Node is missing.
    """
    node = _tool("node")
    modules = _once("node", _NODE_FILES, _install_node) / "node_modules" / "@modelcontextprotocol"
    python = str(_interpreter(_once(f"python{sysconfig.get_python_version()}", _PYTHON_FILES, _install_python)))
    return {
        "filesystem": [node, str(modules / "server-filesystem" / "dist" / "index.js")],
        "memory": [node, str(modules / "server-memory" / "dist" / "index.js")],
        "git": [python, "-m", "mcp_server_git"],
        "time": [python, "-m", "mcp_server_time"],
    }


def _once(kind: str, pins: tuple[Path, ...], install: Callable[[Path], None]) -> Path:
    """Return the folder that holds exactly these pins.

    It gets its name when it is complete, so that neither an interrupted nor a second simultaneous run can leave half
    an installation behind.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "planact-checks"
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()[:12]
    folder = cache / f"{kind}-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{kind}-unfinished-", dir=cache))
    try:
        install(unfinished)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _install_node(folder: Path) -> None:
    for file in _NODE_FILES:
        shutil.copy(file, folder)
    _run(_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)


def _install_python(folder: Path) -> None:
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    pip = [sys.executable, "-m", "pip", "--python", str(_interpreter(folder))]
    _run(*pip, "install", "-qq", "--disable-pip-version-check", "-r", str(_PYTHON_FILES[0]))


def _interpreter(folder: Path) -> Path:
    scripts = sysconfig.get_path("scripts", "venv", vars={"base": str(folder)})
    return Path(scripts) / ("python.exe" if os.name == "nt" else "python")


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"The checks run servers written for Node: install {name!r} (Node 20 or newer).")
    return path


def _run(*command: str, cwd: Path | None = None) -> None:
    ended = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)!r} ended with {ended.returncode}; the lines above say why.")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(installed(), indent=2) + "\n")
