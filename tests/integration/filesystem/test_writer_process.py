"""The process that writes pictures for the filesystem store while many come at once, and what becomes of them."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.filesystem import writer_process, writes
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.writer_messages import MAX_BYTES, Answer, Kind
from pixyproxy.adapters.filesystem.writer_process import WriterGoneError, WriterProcess
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.image import new_guid

SIDECAR = {"text": "ä\udcff"}
PATIENCE_S = 30.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
    store = FilesystemBlobStore(tmp_path / "images", min_free_bytes=0)
    await store.open()
    yield store
    process = store._writes.process
    if process is not None and process.pid is not None:
        os.kill(process.pid, signal.SIGCONT)  # where a test failed before it did so
    await store.close()


async def until(condition: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)
    return value


async def put_many(store: FilesystemBlobStore, number: int = 8, size: int = 1000) -> list[tuple[str, bytes]]:
    pictures = [(new_guid(), os.urandom(size)) for _ in range(number)]
    await asyncio.gather(*(store.put(guid, data, SIDECAR) for guid, data in pictures))
    return pictures


async def process_of(store: FilesystemBlobStore) -> int:
    """Put pictures at once until a process writes them; its number."""
    await put_many(store)
    process = await until(lambda: store._writes.process)
    assert process.pid is not None
    return int(process.pid)


async def check_stored(store: FilesystemBlobStore, pictures: list[tuple[str, bytes]]) -> None:
    for guid, data in pictures:
        reader = await store.read(guid, size=len(data))
        assert reader.first == data
        assert await store.read_sidecar(guid) == SIDECAR


def writers_files(root: Path) -> list[str]:
    return [path.name for path in root.rglob(".*")]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_many_small_pictures_at_once_are_written_by_a_process(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pid = await process_of(store)
    assert f"a process of their own now (pid {pid})" in caplog.text
    os.kill(pid, signal.SIGSTOP)
    writing = asyncio.create_task(put_many(store))
    done, _ = await asyncio.wait([writing], timeout=0.2)
    assert not done, "it was not the process that wrote them"
    os.kill(pid, signal.SIGCONT)
    await check_stored(store, await writing)
    assert writers_files(tmp_path) == []


async def test_the_process_works_in_no_requests_name(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("the fifth")
    seen: set[str] = set()
    take = WriterProcess._take

    def watch(process: WriterProcess, answer: Answer) -> None:
        seen.add(request.get())
        take(process, answer)

    monkeypatch.setattr(WriterProcess, "_take", watch)
    await process_of(store)
    assert seen == {"none"}


async def test_a_few_at_a_time_start_no_process(store: FilesystemBlobStore) -> None:
    for _ in range(5):
        await put_many(store, writes.MANY)
    assert store._writes._process is None


async def test_a_large_picture_is_written_by_a_thread(store: FilesystemBlobStore) -> None:
    pid = await process_of(store)
    os.kill(pid, signal.SIGSTOP)
    pictures = await put_many(store, 2, MAX_BYTES)
    os.kill(pid, signal.SIGCONT)
    await check_stored(store, pictures)
    fits = await put_many(store, 2, MAX_BYTES - 1000)
    await check_stored(store, fits)


async def test_what_the_process_has_no_room_for_is_written_by_threads(store: FilesystemBlobStore) -> None:
    pid = await process_of(store)
    os.kill(pid, signal.SIGSTOP)
    tasks = [asyncio.create_task(put_many(store, 1, 100_000)) for _ in range(60)]
    await until(lambda: any(task.done() for task in tasks))
    os.kill(pid, signal.SIGCONT)
    for pictures in await asyncio.gather(*tasks):
        await check_stored(store, pictures)


async def test_what_a_killed_process_had_is_written_by_threads(
    store: FilesystemBlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await process_of(store)
    os.kill(pid, signal.SIGSTOP)
    writing = asyncio.create_task(put_many(store))
    await asyncio.sleep(0.1)
    assert not writing.done()
    os.kill(pid, signal.SIGKILL)
    await check_stored(store, await writing)
    assert "The process that writes pictures has ended" in caplog.text
    await until(lambda: not Path(f"/proc/{pid}").exists())  # and is no zombie
    await check_stored(store, await put_many(store))
    assert store._writes._process is None, "it was started again at once"


async def test_a_process_that_ended_is_replaced_after_a_while(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "RESTART_S", 0.0)
    pid = await process_of(store)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: store._writes._process is None)
    assert await process_of(store) != pid


async def test_a_process_without_work_is_let_go(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_process, "IDLE_S", 0.5)
    pid = await process_of(store)
    for _ in range(8):
        await asyncio.sleep(0.1)
        await put_many(store, 1)
    process = store._writes.process
    assert process is not None, "it was let go while it had work"
    assert process.pid == pid
    await until(lambda: store._writes._process is None)
    await until(lambda: not Path(f"/proc/{pid}").exists())
    assert "has ended" not in caplog.text
    assert await process_of(store) != pid  # which is started at once when it is wanted again


async def test_where_no_process_can_be_started_threads_write(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def none(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socketpair", none)
    await check_stored(store, await put_many(store))
    assert "since no process can be started for it: [Errno 93]" in caplog.text
    assert store._writes._process is None


async def test_where_python_cannot_be_started_threads_write(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    await check_stored(store, await put_many(store))
    await until(lambda: "since no process can be started" in caplog.text)
    await check_stored(store, await put_many(store))


async def test_whatever_keeps_a_process_from_starting_threads_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(subprocess, "Popen", stumble)
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0)
    await store.open()
    await check_stored(store, await put_many(store))
    await until(lambda: "no process can be started for it: can't start new thread" in caplog.text)
    await store.close()
    await store.open()
    await store.close()


async def test_errors_are_those_that_threads_report(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await process_of(store)
    guid = next(guid for guid in iter(new_guid, "") if not (tmp_path / "images" / guid[:2]).exists())
    (tmp_path / "images" / guid[:2]).write_text("no folder")
    with pytest.raises(BlobStoreError) as by_process:
        await store.put(guid, b"x", SIDECAR)
    with pytest.raises(BlobStoreError) as by_thread:
        await store.put(guid, bytes(MAX_BYTES), SIDECAR)
    assert by_process.value.message == by_thread.value.message
    assert by_process.value.message == "The blob store cannot store a picture: its folder is not a folder."
    lines = [record.getMessage() for record in caplog.records if "Not a directory" in record.getMessage()]
    assert len(lines) == 2
    assert lines[0] == lines[1]


async def test_what_the_process_cannot_do_for_a_fault_of_its_own_threads_do(
    store: FilesystemBlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await process_of(store)
    process = store._writes.process
    assert process is not None
    os.kill(pid, signal.SIGSTOP)
    guid = new_guid()
    putting = asyncio.create_task(store.put(guid, b"data", SIDECAR))
    (key,) = await until(lambda: list(process._waiting))
    process._take(Answer.of(Answer(Kind.FAULT, key, words="MemoryError: ä").packet()))
    await putting
    process._waiting[key] = asyncio.get_running_loop().create_future()  # for the answer that is still to come
    os.kill(pid, signal.SIGCONT)
    await check_stored(store, [(guid, b"data")])
    assert "has a fault: MemoryError: ä" in caplog.text


async def test_a_fault_is_told_in_words(store: FilesystemBlobStore) -> None:
    await process_of(store)
    process = store._writes.process
    assert process is not None
    assert process._link is not None
    answer = process._waiting[7_000_000] = asyncio.get_running_loop().create_future()
    process._link.send((7_000_000).to_bytes(8, "big") + (0).to_bytes(4, "big") + b"no guid".ljust(36) + b"data")
    with pytest.raises(WriterGoneError):
        await answer


async def test_a_process_that_understands_nothing_ends(store: FilesystemBlobStore, tmp_path: Path) -> None:
    pid = await process_of(store)
    process = store._writes.process
    assert process is not None
    assert process._link is not None
    process._link.send(b"what?")
    pictures = await put_many(store)
    await until(lambda: not is_running(pid))
    await check_stored(store, pictures)


@pytest.mark.parametrize("packet", [b"?", b"\xff" + bytes(12), Answer(Kind.DONE, 7_000_000).packet()])
async def test_a_process_that_is_not_understood_is_killed(
    store: FilesystemBlobStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, packet: bytes
) -> None:
    pid = await process_of(store)
    monkeypatch.setattr(Answer, "of", lambda _, of=Answer.of: of(packet))
    pictures = await put_many(store)
    await until(lambda: not is_running(pid))
    await check_stored(store, pictures)
    assert "is not understood, and is killed" in caplog.text


async def test_a_process_that_says_nothing_is_killed(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await process_of(store)
    monkeypatch.setattr(writer_process, "STUCK_S", 0.5)
    os.kill(pid, signal.SIGSTOP)
    await check_stored(store, await put_many(store))
    assert f"(pid {pid}) says nothing: it is killed" in caplog.text
    assert not is_running(pid)


async def test_closing_does_not_wait_for_a_process_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_process, "STUCK_S", 0.5)
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0)
    await store.open()
    pid = await process_of(store)
    os.kill(pid, signal.SIGSTOP)
    await store.close()
    assert not is_running(pid)


async def test_a_store_that_is_gone_says_so(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await process_of(store)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(BlobStoreError, match="not usable: its folder is not there"):
        await store.put(new_guid(), b"x", SIDECAR)
    assert ("ERROR", "The blob store is not usable: its folder is not there") in [
        (record.levelname, record.getMessage()) for record in caplog.records
    ]
    assert not (tmp_path / "images").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "images")
    await check_stored(store, await put_many(store))


async def test_writes_of_one_image_follow_each_other(store: FilesystemBlobStore, tmp_path: Path) -> None:
    pid = await process_of(store)
    guid, data = new_guid(), b"first"
    os.kill(pid, signal.SIGSTOP)
    putting = asyncio.create_task(store.put(guid, data, SIDECAR))
    await asyncio.sleep(0)
    describing = asyncio.create_task(store.replace_sidecar(guid, {"text": "new"}))
    await asyncio.sleep(0)
    deleting = asyncio.create_task(store.delete(guid))
    other = await put_many(store, 1, MAX_BYTES)  # by a thread
    assert not any(task.done() for task in (putting, describing, deleting))
    os.kill(pid, signal.SIGCONT)
    await asyncio.gather(putting, describing, deleting)
    assert [path for path in tmp_path.rglob(f"*{guid}*") if path.is_file()] == []
    await check_stored(store, other)


async def test_a_put_whose_caller_is_cancelled_goes_on(store: FilesystemBlobStore) -> None:
    pid = await process_of(store)
    guid = new_guid()
    os.kill(pid, signal.SIGSTOP)
    putting = asyncio.create_task(store.put(guid, b"data", SIDECAR))
    await asyncio.sleep(0.05)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    os.kill(pid, signal.SIGCONT)
    await store.replace_sidecar(guid, SIDECAR)  # which waits for it
    await check_stored(store, [(guid, b"data")])


async def test_a_put_whose_caller_is_cancelled_goes_on_when_the_process_dies(store: FilesystemBlobStore) -> None:
    pid = await process_of(store)
    pictures = [(new_guid(), b"paid for") for _ in range(3)]
    os.kill(pid, signal.SIGSTOP)
    tasks = [asyncio.create_task(store.put(guid, data, SIDECAR)) for guid, data in pictures]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    os.kill(pid, signal.SIGKILL)
    for guid, _ in pictures:
        await store.replace_sidecar(guid, SIDECAR)  # which waits for it
    await check_stored(store, pictures)


async def test_what_goes_wrong_after_the_caller_has_gone_is_in_the_log(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    guid = new_guid()
    putting = asyncio.create_task(store.put(guid, b"data", SIDECAR))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.wait([putting])
    await until(lambda: f"A write for image {guid} failed after its caller had gone" in caplog.text)
    (tmp_path / "elsewhere").rename(tmp_path / "images")


async def closed_at_work(store: FilesystemBlobStore, signal_then: signal.Signals) -> list[tuple[str, bytes]]:
    """What was stored although the store was closed while its process was stopped and had it, and then got a signal."""
    pid = await process_of(store)
    os.kill(pid, signal.SIGSTOP)
    writing = asyncio.create_task(put_many(store))
    await asyncio.sleep(0.1)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.1)
    assert not closing.done()
    os.kill(pid, signal_then)
    pictures = await writing
    await closing
    assert not is_running(pid)
    return pictures


async def test_closing_waits_for_what_is_under_way(store: FilesystemBlobStore) -> None:
    pictures = await closed_at_work(store, signal.SIGCONT)
    with pytest.raises(BlobStoreError, match="not open"):
        await store.put(new_guid(), b"x", SIDECAR)
    await store.open()
    await check_stored(store, pictures)
    await check_stored(store, await put_many(store))


async def test_what_a_process_leaves_undone_while_the_store_closes_is_written(store: FilesystemBlobStore) -> None:
    pictures = await closed_at_work(store, signal.SIGKILL)
    await store.open()
    await check_stored(store, pictures)


async def test_closing_while_the_process_starts(store: FilesystemBlobStore) -> None:
    pictures = await put_many(store)
    await store.close()
    await store.open()
    await check_stored(store, pictures)


async def test_signals_for_the_service_do_not_end_the_process(store: FilesystemBlobStore) -> None:
    pid = await process_of(store)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    await check_stored(store, await put_many(store))
    process = store._writes.process
    assert process is not None
    assert process.pid == pid


def test_what_a_killed_service_has_sent_is_written(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
        from pixyproxy.domain.image import new_guid

        async def main():
            store = FilesystemBlobStore(Path(sys.argv[1]), min_free_bytes=0)
            await store.open()
            while store._writes.process is None:
                await asyncio.gather(*(store.put(new_guid(), b"x", {}) for _ in range(8)))
            pid = store._writes.process.pid
            os.kill(pid, signal.SIGSTOP)
            guids = [new_guid() for _ in range(5)]
            tasks = [asyncio.create_task(store.put(guid, b"paid for", {})) for guid in guids]
            await asyncio.sleep(0.1)
            print(pid, *guids, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    pid, *guids = done.stdout.split()
    os.kill(int(pid), signal.SIGCONT)
    give_up = time.monotonic() + PATIENCE_S
    while is_running(int(pid)):
        assert time.monotonic() < give_up, "it did not end with the service"
        time.sleep(0.01)
    for guid in guids:
        assert (tmp_path / guid[:2] / guid[2:4] / f"{guid}.bin").read_bytes() == b"paid for"
        assert (tmp_path / guid[:2] / guid[2:4] / f"{guid}.json").exists()
