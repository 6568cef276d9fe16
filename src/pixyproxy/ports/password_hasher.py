"""The port to slow, salted password hashing."""

from abc import abstractmethod

from pixyproxy.ports.resource import Resource


class PasswordHasher(Resource):
    """Turns passwords into hashes fit for storage and checks passwords against them.

    Work runs off the event loop, a bounded amount at a time; both methods raise CapacityExceededError at
    once when too much is waiting.
    """

    @abstractmethod
    async def hash(self, password: str) -> str:
        """A salted hash of at most 255 ASCII characters, different at every call."""

    @abstractmethod
    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is the one that was hashed.

        False too for a hash that is malformed or empty; an empty one costs as much time as a real one, so
        that an unknown user cannot be told from a wrong password by the clock.
        """
