"""A picture scaler whose work can be watched, held up and made to fail."""

import asyncio

from pixyproxy.ports.picture_scaler import PictureScaler


class ScriptedScaler(PictureScaler):
    """Makes bytes that say what was asked for, after `gate` opens if there is one; keeps what it was asked for."""

    def __init__(self) -> None:
        self.scaled: list[tuple[bytes, int, str]] = []
        self.likened: list[bytes] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def scale(self, data: bytes, longest_side: int, media_type: str) -> bytes:
        self.scaled.append((data, longest_side, media_type))
        await self._pass()
        return b"%d %s" % (longest_side, media_type.encode())

    async def placeholder(self, data: bytes) -> str:
        self.likened.append(data)
        await self._pass()
        return f"data:,{len(self.likened)}"

    async def _pass(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
