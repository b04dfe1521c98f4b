"""The whole server, whose workers have all been taken over."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attacks.attacking import workers_of
from planact_server.app import App, open_app
from planact_server.config import load_config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

FIRST = 'resolve("drawer.note")\nreceive()'
"""How each attack begins, so that the pack is there."""


@asynccontextmanager
async def server(folder: Path, pack: str, settings: str) -> AsyncGenerator[App]:
    """The server with the pack `drawer` and nobody's configuration but this one, all of it in `folder`."""
    (folder / "drawer.py").write_text(pack)
    (folder / "planact.toml").write_text(f'packs = ["./drawer.py"]\n{settings}')
    own = {name: str(folder / name) for name in ("PLANACT_HOME", "XDG_CONFIG_HOME", "HOME")}
    config = load_config(config_file=folder / "planact.toml", environ=own, cwd=folder)
    with workers_of("native.py"):
        async with open_app(config) as app:
            yield app
