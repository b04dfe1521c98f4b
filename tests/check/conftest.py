"""What the checks share: real servers, started by nobody yet."""

import pytest

from check.servers import clients, installed


@pytest.fixture(scope="session")
def real_servers() -> dict[str, list[str]]:
    """Command lines of the fourteen servers, by short names; see `check.servers.installed`."""
    return installed()


@pytest.fixture(scope="session")
def foreign_clients() -> dict[str, list[str]]:
    """Command lines of clients that others wrote, and of the conformance suite; see `check.servers.clients`."""
    return clients()
