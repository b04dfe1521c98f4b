"""What each host's golden file says: where it belongs, our entry in it, and its servers as Planact has them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planact_bridge.hosts import HOSTS, Host, Journal, Machine, Place, Platform, places

PLATFORMS: tuple[Platform, ...] = ("linux", "darwin", "windows")
COMMAND = "/opt/planact/bin/planact"
COMMON = {"command": COMMAND, "args": ["serve"]}

UVX_GIT = {"command": "uvx", "args": ["mcp-server-git"]}
DOCS = {"url": "https://docs.example.com/mcp"}


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One host."""

    file: str
    at: dict[Platform, str]
    """The user's file from the home folder."""

    project: str | None
    ours: dict[str, Any]
    imported: dict[str, Any]
    passes: dict[str, str] = field(default_factory=dict)
    stays: tuple[str, ...] = ()
    """What is not taken over."""


def everywhere(path: str) -> dict[Platform, str]:
    return dict.fromkeys(PLATFORMS, path)


def config(linux: str, darwin: str, windows: str) -> dict[Platform, str]:
    return {
        "linux": f".config/{linux}",
        "darwin": darwin,
        "windows": f"AppData/Roaming/{windows}",
    }


SUPPORT = "Library/Application Support"

GOLDEN: dict[str, Golden] = {
    "claude-desktop": Golden(
        file="claude-desktop.json",
        at=config(
            "Claude/claude_desktop_config.json",
            f"{SUPPORT}/Claude/claude_desktop_config.json",
            "Claude/claude_desktop_config.json",
        ),
        project=None,
        ours=COMMON,
        imported={
            "git": {"command": "uvx", "args": ["mcp-server-git", "--repository", "/srv/code"]},
            "docs": DOCS,
            "old": {"command": "node", "disabled": True},
        },
    ),
    "claude-code": Golden(
        file="claude-code.json",
        at=everywhere(".claude.json"),
        project=".mcp.json",
        ours={"type": "stdio", **COMMON},
        imported={
            "git": {**UVX_GIT, "env": {"LEVEL": "${LEVEL:-info}"}},
            "docs": {**DOCS, "type": "http", "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"}},
        },
        passes={"LEVEL": "${LEVEL:-info}", "DOCS_TOKEN": "${DOCS_TOKEN}"},
    ),
    "cursor": Golden(
        file="cursor.json",
        at=everywhere(".cursor/mcp.json"),
        project=".cursor/mcp.json",
        ours=COMMON,
        imported={
            "git": {
                "command": "uvx",
                "args": ["mcp-server-git", "--log=HOME/git.log"],
                "env": {"GIT_TOKEN": "${GIT_TOKEN}"},
            },
            "docs": {**DOCS, "headers": {"X-Key": "key ${DOCS_KEY}"}},
        },
        passes={"GIT_TOKEN": "${env:GIT_TOKEN}", "DOCS_KEY": "${env:DOCS_KEY}"},
    ),
    "vscode": Golden(
        file="vscode.json",
        at=config("Code/User/mcp.json", f"{SUPPORT}/Code/User/mcp.json", "Code/User/mcp.json"),
        project=".vscode/mcp.json",
        ours={"type": "stdio", **COMMON},
        imported={
            "git": {"command": "uvx", "args": ["mcp-server-git", "${workspaceFolder}"]},
            "docs": {**DOCS, "type": "http", "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"}},
        },
        passes={"DOCS_TOKEN": "${input:docs-token}"},
    ),
    "zed": Golden(
        file="zed.json",
        at=config("zed/settings.json", ".config/zed/settings.json", "Zed/settings.json"),
        project=".zed/settings.json",
        ours={"source": "custom", **COMMON, "env": {}},
        imported={
            "git": {**UVX_GIT, "env": {"LEVEL": "info"}},
            "docs": {**DOCS, "headers": {"X-Team": "blue"}},
            "old": {"command": "/opt/old", "args": ["--stdio"]},
        },
        stays=("postgres-context-server",),
    ),
    "windsurf": Golden(
        file="windsurf.json",
        at=everywhere(".codeium/windsurf/mcp_config.json"),
        project=None,
        ours=COMMON,
        imported={"git": {**UVX_GIT, "env": {"TOKEN": "${GIT_TOKEN}"}}, "docs": DOCS},
        passes={"GIT_TOKEN": "${env:GIT_TOKEN}"},
    ),
    "junie": Golden(
        file="junie.json",
        at=everywhere(".junie/mcp/mcp.json"),
        project=".junie/mcp/mcp.json",
        ours=COMMON,
        imported={"git": {**UVX_GIT, "disabled": True}},
    ),
    "gemini-cli": Golden(
        file="gemini-cli.json",
        at=everywhere(".gemini/settings.json"),
        project=".gemini/settings.json",
        ours=COMMON,
        imported={
            "git": {**UVX_GIT, "env": {"GIT_TOKEN": "${GIT_TOKEN}"}, "timeout": 30.0},
            "docs": {**DOCS, "type": "http", "headers": {"X-Key": "${DOCS_KEY}"}},
            "events": {"url": "https://events.example.com/sse", "type": "sse"},
        },
        passes={"GIT_TOKEN": "$GIT_TOKEN", "DOCS_KEY": "${DOCS_KEY}"},
    ),
    "codex-cli": Golden(
        file="codex-cli.toml",
        at=everywhere(".codex/config.toml"),
        project=".codex/config.toml",
        ours=COMMON,
        imported={
            "git": {
                "command": "uvx",
                "args": ["mcp-server-git", "--verbose"],
                "env": {"LEVEL": "info", "GIT_TOKEN": "${GIT_TOKEN}"},
                "timeout": 90,
            },
            "docs": {
                **DOCS,
                "headers": {"X-Team": "blue", "Authorization": "Bearer ${DOCS_TOKEN}"},
                "disabled": True,
            },
        },
        passes={"GIT_TOKEN": "GIT_TOKEN", "DOCS_TOKEN": "DOCS_TOKEN"},
    ),
    "goose": Golden(
        file="goose.yaml",
        at=config("goose/config.yaml", ".config/goose/config.yaml", "Block/goose/config/config.yaml"),
        project=None,
        ours={
            "enabled": True,
            "type": "stdio",
            "name": "planact",
            "description": "Runs Python plans over other MCP servers",
            "cmd": COMMAND,
            "args": ["serve"],
            "envs": {},
            "env_keys": [],
            "timeout": 300,
        },
        imported={
            "git": {
                "command": "uvx",
                "args": ["mcp-server-git", "--verbose"],
                "env": {"LEVEL": "info", "GIT_TOKEN": "${GIT_TOKEN}"},
                "timeout": 90,
            },
            "docs": {**DOCS, "type": "http", "headers": {"X-Team": "blue"}, "disabled": True},
        },
        passes={"GIT_TOKEN": "GIT_TOKEN"},
        stays=("developer",),
    ),
    "continue": Golden(
        file="continue.yaml",
        at=everywhere(".continue/config.yaml"),
        project=".continue/mcpServers/mcp.json",
        ours={"name": "planact", **COMMON},
        imported={
            "git": {**UVX_GIT, "env": {"GIT_TOKEN": "${GIT_TOKEN}"}},
            "docs": {**DOCS, "type": "http", "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"}},
        },
        passes={"GIT_TOKEN": "${{ secrets.GIT_TOKEN }}", "DOCS_TOKEN": "${{ secrets.docs-token }}"},
    ),
    "lm-studio": Golden(
        file="lm-studio.json",
        at=everywhere(".lmstudio/mcp.json"),
        project=None,
        ours=COMMON,
        imported={"git": UVX_GIT, "docs": {**DOCS, "headers": {"Authorization": "Bearer abc"}}},
    ),
    "opencode": Golden(
        file="opencode.json",
        at=everywhere(".config/opencode/opencode.json"),
        project="opencode.json",
        ours={"type": "local", "command": [COMMAND, "serve"]},
        imported={
            "git": {**UVX_GIT, "env": {"GIT_TOKEN": "${GIT_TOKEN}"}},
            "docs": {**DOCS, "disabled": True},
        },
        passes={"GIT_TOKEN": "{env:GIT_TOKEN}"},
        stays=("vault",),
    ),
    "copilot-cli": Golden(
        file="copilot-cli.json",
        at=everywhere(".copilot/mcp-config.json"),
        project=".github/mcp.json",
        ours={"type": "local", **COMMON, "tools": ["*"]},
        imported={
            "git": {**UVX_GIT, "env": {"GIT_TOKEN": "${GIT_TOKEN}"}},
            "docs": {**DOCS, "type": "http", "headers": {"X-Key": "${DOCS_KEY}"}},
        },
        passes={"GIT_TOKEN": "${GIT_TOKEN}", "DOCS_KEY": "$DOCS_KEY"},
    ),
}

BY_NAME: dict[str, Host] = {host.name: host for host in HOSTS}


class Somebody:
    """A user of one platform in a folder of a test, who has one host with its golden file."""

    def __init__(self, folder: Path, platform: Platform, host: str) -> None:
        self.home = folder / "home"
        self.work = folder / "work"
        self.home.mkdir()
        self.work.mkdir()
        self.machine = Machine(platform=platform, home=self.home, environ={})
        self.host = BY_NAME[host]
        self.golden = GOLDEN[host]
        self.place: Place = places(self.host, self.machine, self.work)[0]
        self.journal = Journal(folder / "state" / "hosts.json")
        self.mcp_json = folder / "config" / "mcp.json"

    @property
    def path(self) -> Path:
        return self.place.path

    def has_golden_file(self) -> bytes:
        """Put the host's file where it belongs, and return its bytes."""
        content = (Path(__file__).parent / "golden" / self.golden.file).read_bytes()
        if self.machine.platform == "windows":
            content = content.replace(b"\n", b"\r\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        return content

    def files(self) -> dict[str, bytes]:
        """Return all files of the home folder."""
        return {str(path.relative_to(self.home)): path.read_bytes() for path in self.home.rglob("*") if path.is_file()}
