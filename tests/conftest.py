"""What every test shares."""

from pathlib import Path

import pytest
from hypothesis import settings

from planact_testing import Home

# Other examples in every run, and those that failed again: many runs find what one long one would.
settings.register_profile("planact", max_examples=50)
settings.register_profile("thorough", max_examples=250)
settings.load_profile("planact")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no reference data beside the checkout")
    return folder


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.check)], ids=["warm", "cold"])
def cold(request: pytest.FixtureRequest) -> bool:
    """Whether what the test starts has an interpreter of its own, which takes two seconds."""
    return request.param


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user of Planact: configuration and state in a folder of their own."""
    return Home(tmp_path)
