"""A session as it was before the first attempt: noted once, gone back to as often as needed."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError

if TYPE_CHECKING:
    from planact_server.sandbox import Worker
    from planact_server.sessions import Recovered, Session, Sessions

logger = logging.getLogger(__name__)


class StartingPoint:
    """Gives out the session's worker, each time in the state that it had at first."""

    def __init__(self, sessions: Sessions, session: Session) -> None:
        self.recovered: Recovered | None = None
        """What the session had to give up with a worker, before or since."""

        self.unsettled: tuple[str, ...] = ()
        """Variables that are not as they were after going back, because nobody can tell how they were."""

        self._sessions = sessions
        self._session = session
        self._noted = self._was_noted = self._left = False
        self._unsettled: tuple[str, ...] = ()

    async def worker(self) -> Worker:
        """Return a worker that is at the starting point, and may leave it. Raises EngineError."""
        await self.go_back()
        worker = self._session.worker
        if worker is None or not worker.alive or not self._noted:
            worker = await self._note()
        self._left = True
        return worker

    async def go_back(self) -> None:
        """Put the session back as it was; in a new worker from its last data, where the old one cannot."""
        if not self._left:
            return
        self._left = False
        worker = self._session.worker
        if worker is not None and worker.alive and self._noted:
            try:
                await worker.rollback()
            except EngineError as error:
                logger.info("session %s goes back by way of a new worker: %s", self._session.handle, error)
            else:
                self.unsettled = self._unsettled
                return
        self._noted = False
        await self._sessions.drop_worker(self._session)

    async def forget(self) -> None:
        """Let go of what was noted: the session stays as it is."""
        worker = self._session.worker
        if self._noted and worker is not None and worker.alive:
            try:
                await worker.forget()
            except EngineError as error:
                logger.info("session %s: %s", self._session.handle, error)
        self._noted = False

    async def _note(self) -> Worker:
        worker, recovered = await self._sessions.worker(self._session)
        # Going back to a session that has nothing loses nothing, though its worker is another one.
        if recovered is not None and (not self._was_noted or recovered.kept or recovered.lost):
            # What went with an earlier worker has not come back since.
            before = self.recovered.lost if self.recovered is not None else ()
            self.recovered = replace(recovered, lost=tuple(dict.fromkeys((*before, *recovered.lost))))
        self._was_noted = True
        checkpoint = await worker.checkpoint()
        self._noted, self._unsettled = checkpoint.taken, checkpoint.unsettled
        if not checkpoint.taken:
            logger.info("session %s is too large to be noted", self._session.handle)
        return worker
