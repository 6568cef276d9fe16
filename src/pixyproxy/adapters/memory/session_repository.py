"""Login sessions in memory."""

from dataclasses import replace
from datetime import UTC, datetime

from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.errors import ConstraintViolationError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.session_repository import SessionRepository


class MemorySessionRepository(MemoryRepository, SessionRepository):
    """Remembers login sessions in a storage object."""

    async def add(self, session: LoginSession) -> None:
        if session.username not in self._storage.users:
            raise UserNotFoundError("There is no such user.")
        if session.digest in self._storage.sessions:
            raise ConstraintViolationError("There is a session of this digest already.")
        self._storage.sessions[session.digest] = replace(
            session, created_at=session.created_at.astimezone(UTC), expires_at=session.expires_at.astimezone(UTC)
        )

    async def find(self, digest: str) -> tuple[LoginSession, User] | None:
        session = self._storage.sessions.get(digest)
        return None if session is None else (session, self._storage.users[session.username])

    async def extend(self, digest: str, expires_at: datetime) -> None:
        if digest in self._storage.sessions:
            session = self._storage.sessions[digest]
            self._storage.sessions[digest] = replace(session, expires_at=expires_at.astimezone(UTC))

    async def remove(self, digest: str) -> None:
        self._storage.sessions.pop(digest, None)

    async def remove_expired(self, now: datetime) -> None:
        sessions = self._storage.sessions
        for digest in [session.digest for session in sessions.values() if session.has_expired(now)]:
            del sessions[digest]
