"""Real MCP servers and clients for the checks: pinned, and installed once into the user's cache folder.

    python tests/check/servers.py      installs what is missing, prints how each is started

What is written in Python gets an environment of its own, as it has on a user's machine: what it depends on is its
business.
"""

import hashlib
import json
import os
import platform
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
_PYTHON_FILES_MCP1 = (_HERE / "servers-mcp1.txt",)
_NODE_SERVERS = {
    "context7": "@upstash/context7-mcp/dist/index.js",
    "eslint": "@eslint/mcp/src/mcp-cli.js",
    "everything": "@modelcontextprotocol/server-everything/dist/index.js",
    "filesystem": "@modelcontextprotocol/server-filesystem/dist/index.js",
    "memory": "@modelcontextprotocol/server-memory/dist/index.js",
    "playwright": "@playwright/mcp/cli.js",
    "sequential-thinking": "@modelcontextprotocol/server-sequential-thinking/dist/index.js",
}
_PYTHON_SERVERS = {
    "fetch": "mcp_server_fetch",
    "git": "mcp_server_git",
    "markitdown": "markitdown_mcp",
    "time": "mcp_server_time",
}
_PYTHON_SERVERS_MCP1 = {
    "atlassian": ["-c", "import mcp_atlassian; mcp_atlassian.main()"],
    "calculator": ["-m", "mcp_server_calculator"],
    "sqlite": ["-c", "import mcp_server_sqlite; mcp_server_sqlite.main()"],
}
"""Two are no modules that can be run, and their scripts name the folder that they were first installed to."""
_CLIENTS = _HERE / "clients"
_NODE_CLIENTS = (_CLIENTS / "package.json", _CLIENTS / "package-lock.json", _CLIENTS / "call.mjs")
_PYTHON_CLIENTS = (_CLIENTS / "requirements.txt",)
_NODE_22 = "22.23.3"
"""Where the machine's own Node is older: the conformance suite needs 22."""


def installed() -> dict[str, list[str]]:
    """Return the command line of each server, installing what is missing.

    Some take further arguments: `filesystem` wants its allowed folders, `git` takes `--repository FOLDER`, `sqlite`
    `--db-path FILE`. `memory` keeps its file where the environment's `MEMORY_FILE_PATH` says. Raises SystemExit, with
    one line, where Node is missing.
    """
    node = _tool("node")
    modules = _once("node", _NODE_FILES, _install_node) / "node_modules"
    python = _python("python", _PYTHON_FILES, "--no-deps")
    python_mcp1 = _python("python-mcp1", _PYTHON_FILES_MCP1)
    return {
        **{name: [node, str(modules / script)] for name, script in _NODE_SERVERS.items()},
        **{name: [python, "-m", module] for name, module in _PYTHON_SERVERS.items()},
        **{name: [python_mcp1, *start] for name, start in _PYTHON_SERVERS_MCP1.items()},
    }


def clients() -> dict[str, list[str]]:
    """Return the command lines of MCP clients, the conformance suite and the inspector, installing what is missing.

    `typescript` takes what `clients/call.mjs` says, `python` what `clients/call.py` says. Raises SystemExit, with one
    line, where Node is missing.
    """
    folder = _once("node-clients", _NODE_CLIENTS, lambda folder: _install_node(folder, _NODE_CLIENTS))
    modules = folder / "node_modules" / "@modelcontextprotocol"
    return {
        "typescript": [_tool("node"), str(folder / "call.mjs")],
        "python": [_python("python-clients", _PYTHON_CLIENTS), str(_CLIENTS / "call.py")],
        "conformance": [_recent_node(), str(modules / "conformance" / "dist" / "index.js")],
        "inspector": [_recent_node(), str(modules / "inspector" / "clients/launcher/build/index.js"), "--cli"],
    }


def _python(kind: str, pins: tuple[Path, ...], *options: str) -> str:
    """Return the interpreter of an environment with exactly these pins, installed with these options of pip."""
    name = f"{kind}{sysconfig.get_python_version()}"
    return str(_interpreter(_once(name, pins, lambda folder: _install_python(folder, pins, options))))


def _recent_node() -> str:
    node = _tool("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().removeprefix("v").partition(".")[0]) >= int(_NODE_22.partition(".")[0]):
        return node
    system = {"linux": "linux", "darwin": "darwin", "win32": "win"}[sys.platform]
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
    package = f"node-{system}-{machine}"

    def install(folder: Path) -> None:
        _run(_tool("npm"), "install", "--no-save", *_NPM, "--prefix", str(folder), f"{package}@{_NODE_22}")

    folder = _once(f"{package}-{_NODE_22}", (), install) / "node_modules" / package / "bin"
    return str(folder / ("node.exe" if os.name == "nt" else "node"))


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


_NPM = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def _install_node(folder: Path, files: tuple[Path, ...] = _NODE_FILES) -> None:
    for file in files:
        shutil.copy(file, folder)
    _run(_tool("npm"), "ci", *_NPM, cwd=folder)


def _install_python(folder: Path, pins: tuple[Path, ...], options: tuple[str, ...]) -> None:
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    pip = [sys.executable, "-m", "pip", "--python", str(_interpreter(folder))]
    _run(*pip, "install", "-qq", "--disable-pip-version-check", *options, "-r", str(pins[0]))


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
    sys.stdout.write(json.dumps({"servers": installed(), "clients": clients()}, indent=2) + "\n")
