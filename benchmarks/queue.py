"""`python -m benchmarks.queue`: the processor time of a turn while 10 and while 10,000 calls wait, and the ratio."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack

from dependency_injector import providers
from rich.console import Console

from benchmarks.compare import Report, Row
from benchmarks.database import NoServerError, mysql_database
from benchmarks.report import table
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.application.generation.callers import Caller
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.opening import opened
from pixyproxy.settings import Settings

AIM = 1.5
"""The aim: so many times the time with a short queue at most."""
_FEW = 10
_CALLERS = 100


class GatedGenerator(SketchImageGenerator):
    """A generator that lets one call through for each permit."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = asyncio.Semaphore(0)
        self.picture = b""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        await self.permits.acquire()
        yield GeneratedImage(self.picture)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description="Turns with a long queue.")
    parser.add_argument("--waiting", type=int, default=10_000, help="number of calls that wait")
    parser.add_argument("--turns", type=int, default=300, help="number of turns that are measured")
    parser.add_argument("--database", nargs="+", default=["sqlite", "mysql"], choices=["sqlite", "mysql"])
    arguments = parser.parse_args()
    console, rows = Console(width=120), []
    for database in arguments.database:
        try:
            with console.status(f"waiting on {database}"):
                few, many = (_milliseconds(database, waiting, arguments.turns) for waiting in (_FEW, arguments.waiting))
        except NoServerError as error:
            console.print(f"[red]not measured:[/red] {error}")
            continue
        rows.append(Row(f"turn on {database}, {arguments.waiting:,} waiting", many, few, many / few, at_most=AIM))
    console.print(table(Report("Queue", "milliseconds of the processor for each turn", f"{_FEW} waiting", rows)))


def _milliseconds(database: str, waiting: int, turns: int) -> float:
    """Return the processor time of a turn while so many calls wait, with all that its picture takes."""
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="pixyproxy-bench-"))
        values = {
            "PIXYPROXY_DATA_DIR": data,
            "PIXYPROXY_BLOB_STORE": "memory",
            "PIXYPROXY_MAX_GENERATIONS": "1",
            "PIXYPROXY_QUEUE_LENGTH": str(2 * waiting + 100),
        }
        values |= stack.enter_context(mysql_database()) if database == "mysql" else {"PIXYPROXY_REPOSITORY": "sqlite"}
        return asyncio.run(_measure(build_container(Settings.model_validate(values)), waiting, turns))


async def _measure(container: Container, waiting: int, turns: int) -> float:
    generator = GatedGenerator()
    container.generator.override(providers.Object(generator))
    await container.migrate()
    async with opened(container):
        generator.picture = await _sketch()
        images = container.image_service()

        async def add(number: int) -> None:
            caller = Caller(f"192.0.2.{number % _CALLERS}")
            await images.create(None, {"prompt": f"a duck {number}"}, wait=False, caller=caller)

        for start in range(0, waiting, 100):
            await asyncio.gather(*(add(number) for number in range(start, min(start + 100, waiting))))
        spent = 0.0
        for number in range(turns):
            begun = time.process_time()
            generator.permits.release()
            while container.turns().waiting >= waiting:
                await asyncio.sleep(0.001)
            spent += time.process_time() - begun
            await add(waiting + number)
        for _ in range(2 * waiting):
            generator.permits.release()
        return spent / turns * 1000


async def _sketch() -> bytes:
    request = GenerationRequest(prompt="a duck")
    generator = SketchImageGenerator()
    await generator.open()
    try:
        pictures = [item async for item in generator.generate(request) if isinstance(item, GeneratedImage)]
    finally:
        await generator.close()
    return pictures[0].data


if __name__ == "__main__":
    main()
