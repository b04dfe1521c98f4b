"""Whether a process runs, by what the system says of it."""

from pathlib import Path

import anyio


def running(pid: int | None) -> bool:
    """Return whether there is such a process; one that only waits to be waited for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def ended(pid: int | None) -> None:
    """Wait until it has ended."""
    while running(pid):
        await anyio.sleep(0.01)
