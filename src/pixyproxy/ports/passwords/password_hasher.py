"""Port to slow, salted password hashing."""

from abc import abstractmethod

from pixyproxy.ports.resource import Resource


class PasswordHasher(Resource):
    """Hasher of passwords for storage.

    Work runs outside the event loop, a bounded amount at a time.
    Both methods raise CapacityExceededError at once if too many calls are waiting.
    """

    @abstractmethod
    async def hash(self, password: str) -> str:
        """Return a salted hash of at most 255 ASCII characters, different at every call."""

    @abstractmethod
    async def verify(self, password_hash: str, password: str) -> bool:
        """Return whether the hash was made from the password.

        A malformed or empty hash counts as not matching. An empty hash takes as much time as a real one, so that
        timing does not reveal unknown users.
        """
