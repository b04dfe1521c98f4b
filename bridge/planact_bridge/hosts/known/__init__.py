"""The hosts that Planact can be installed into."""

from planact_bridge.hosts.host import Host
from planact_bridge.hosts.known import (
    claude_code,
    claude_desktop,
    codex_cli,
    continue_dev,
    copilot_cli,
    cursor,
    gemini_cli,
    goose,
    junie,
    lm_studio,
    opencode,
    vscode,
    windsurf,
    zed,
)

HOSTS: tuple[Host, ...] = (
    claude_desktop.HOST,
    claude_code.HOST,
    cursor.HOST,
    vscode.HOST,
    zed.HOST,
    windsurf.HOST,
    junie.HOST,
    gemini_cli.HOST,
    codex_cli.HOST,
    goose.HOST,
    continue_dev.HOST,
    lm_studio.HOST,
    opencode.HOST,
    copilot_cli.HOST,
)
