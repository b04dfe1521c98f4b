"""Workers for the tests of the language inside."""

from collections.abc import Iterator

import pytest

from sandbox.inside.plan_worker import PlanWorker


@pytest.fixture
def worker() -> Iterator[PlanWorker]:
    """A worker of one's own."""
    worker = PlanWorker()
    yield worker
    worker.close()


class SharedWorker:
    """Lends one worker to many tests, and starts another when a test has killed it."""

    def __init__(self) -> None:
        self._worker: PlanWorker | None = None

    def get(self) -> PlanWorker:
        if self._worker is None or not self._worker.alive:
            self.close()
            self._worker = PlanWorker()
        return self._worker

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


@pytest.fixture(scope="module")
def shared_worker() -> Iterator[SharedWorker]:
    """One worker for a module's many small plans: they share a session."""
    shared = SharedWorker()
    yield shared
    shared.close()


@pytest.fixture
def session(shared_worker: SharedWorker) -> PlanWorker:
    return shared_worker.get()
