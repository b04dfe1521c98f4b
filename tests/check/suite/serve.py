"""Planact over HTTP as `planact serve --http` serves it, and beside its tool what the conformance suite asks for.

    python -P tests/check/suite/serve.py FOLDER

FOLDER is for the state. The URL appears on standard error.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from check.suite.offers import offer
from planact_bridge import StdioSpec
from planact_server.app import open_app
from planact_server.cli.terminal import complain
from planact_server.config import Config, load_config
from planact_server.http import serve_http
from planact_server.server import PlanactServer

DOWNSTREAM = Path(__file__).with_name("downstream.py")


def _config(folder: Path) -> Config:
    (folder / "planact.toml").write_text('[policy]\ntrust = ["suite"]\n')
    environment = {"PLANACT_CONFIG": str(folder / "planact.toml"), "PLANACT_HOME": str(folder / "state")}
    return load_config(config_file=None, environ=environment, cwd=folder)


async def _serve(folder: Path) -> None:
    spec = StdioSpec(name="suite", command=sys.executable, args=("-P", str(DOWNSTREAM)))
    async with open_app(_config(folder), servers=[spec]) as app:
        server = PlanactServer(app.executor, app.runs, describe=app.describe_tool, warm_up=app.warm_up)
        offer(server)
        await serve_http(
            server,
            host="127.0.0.1",
            port=0,
            token=None,
            announce=lambda url: complain(f"serving {url}"),
            stop=app.runs.cancel_all,
        )


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
