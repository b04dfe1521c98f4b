"""What the checks share: real servers, started by nobody yet."""

import pytest

from check.servers import installed


@pytest.fixture(scope="session")
def real_servers() -> dict[str, list[str]]:
    """Command lines of the servers `filesystem`, `memory`, `git` and `time`; see `check.servers.installed`."""
    return installed()
