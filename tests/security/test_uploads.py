"""Uploads: what they take of memory, disk and descriptors is bounded, and given back however they end."""

import base64
import errno
import gzip
import io
import json
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from pixyproxy.application import spool as spool_module
from pixyproxy.application.spool import IN_MEMORY_BYTES, Spool, SpoolRegion
from pixyproxy.domain.errors import (
    BlobStoreFullError,
    CapacityExceededError,
    GeneratorUnavailableError,
    PixyProxyException,
)
from pixyproxy.domain.generation import GeneratedImage
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app
from tests.fixtures.service import Deadline, Service

EDITS = "/v1/images/edits"
MIB = 1024 * 1024
LARGE = PNG + bytes(2 * MIB)
DATA_URL = f"data:image/png;base64,{base64.b64encode(LARGE).decode()}"
FORM = "multipart/form-data; boundary=X"


def form(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> bytes:
    return b"".join(
        b"--X\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (headers.encode(), content)
        for headers, content in parts
    ) + (end)


PROMPT, IMAGE = ('name="prompt"', b"a duck"), ('name="image"; filename="a.png"', LARGE)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 8 * MIB)


@pytest.fixture
async def app(spool: Spool) -> AsyncIterator[HttpApp]:
    async with http_app(spool=spool) as app:
        yield app


def spool_files(folder: Path, pid: int) -> list[Path]:
    """Return the files in a folder that a process holds open, as links to them below /proc."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if str(descriptor.readlink()).startswith(f"{folder}/"):
                found.append(descriptor)
    return found


@pytest.fixture
def open_files(tmp_path: Path) -> Callable[[], int]:
    return lambda: len(spool_files(tmp_path / "spool", os.getpid()))


# --- files of the spool ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_file_holds_what_was_written(spool: Spool, size: int) -> None:
    data = os.urandom(size)
    file = spool.open()
    for at in range(0, size, 300_000):
        file.append(data[at : at + 300_000])
    assert (file.size, spool.used_bytes) == (size, size)
    region = SpoolRegion(file, 3, size - 5)
    assert b"".join(region.pieces()) == region.read() == data[3:-2]
    assert region.read(4) == data[3:7]
    with region.open() as reader:
        file.close()
        assert reader.seek(0, os.SEEK_END) == size - 5
        reader.seek(1)
        assert (reader.read(2), reader.tell(), reader.read(), reader.read(1)) == (data[4:6], 3, data[6:-2], b"")
        assert reader.seekable()
        assert reader.readable()
    with pytest.raises(ValueError, match="closed"):
        reader.read()
    assert spool.used_bytes == 0


def test_a_region_is_written_over(spool: Spool) -> None:
    for size in (9, 3 * MIB // 3 * 3):
        file = spool.open()
        file.append(b"head" + b"abc" * (size // 3) + b"tail")
        region = SpoolRegion(file, 4, size)
        region.rewrite(lambda pieces: (piece.replace(b"b", b"") for piece in pieces))
        assert region.read() == b"ac" * (size // 3)
        assert file.read(0, 4) == b"head"
        assert file.read(file.size - 4, 4) == b"tail"
        file.close()


def test_a_file_is_private_and_has_no_name(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    file = spool.open()
    file.append(bytes(IN_MEMORY_BYTES + 1))
    [opened] = spool_files(folder, os.getpid())
    status = opened.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_nlink, status.st_size) == (0o600, 0, IN_MEMORY_BYTES + 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == []
    file.close()


def test_a_small_file_is_not_on_disk(spool: Spool, tmp_path: Path) -> None:
    file = spool.open()
    file.append(bytes(IN_MEMORY_BYTES))
    assert not (tmp_path / "spool").exists()
    file.close()


def test_all_files_together_are_bounded(spool: Spool) -> None:
    files = [spool.open() for _ in range(8)]
    for file in files:
        file.append(bytes(MIB))
    with pytest.raises(CapacityExceededError) as caught:
        files[0].append(b"a")
    assert caught.value.retry_after_s
    # What did not fit is not counted, and what is given back can be taken again.
    assert (spool.used_bytes, files[0].size) == (8 * MIB, MIB)
    files[1].close()
    files[1].close()
    files[0].append(bytes(MIB))
    for file in files:
        file.close()
    assert spool.used_bytes == 0


def test_a_file_that_ended_takes_nothing_more(spool: Spool) -> None:
    file = spool.open()
    file.append(b"a")
    file.close()
    for use in (lambda: file.append(b"a"), lambda: file.read(0, 1), file.hold):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert spool.used_bytes == 0


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, BlobStoreFullError),
        (errno.EDQUOT, BlobStoreFullError),
        (errno.EMFILE, CapacityExceededError),
        (errno.EACCES, CapacityExceededError),
    ],
)
@pytest.mark.parametrize("function", ["create_file", "_write"])
async def test_an_error_of_the_disk_refuses_the_upload(
    app: HttpApp,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[PixyProxyException],
    function: str,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    place: Any = spool if function == "create_file" else spool_module
    monkeypatch.setattr(place, function, fail)
    status = 507 if kind is BlobStoreFullError else 503
    for body in ({"files": {"image": LARGE}, "data": {"prompt": "x"}}, {"json": {"prompt": "x", "image": DATA_URL}}):
        answer = await app.client.post(EDITS, auth=basic(ALICE), **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, kind.code)
    assert spool.used_bytes == 0
    assert app.generator.requests == []


# --- requests -------------------------------------------------------------------------------------------------


async def test_an_upload_without_room_is_refused_until_there_is(app: HttpApp, spool: Spool) -> None:
    app.generator.outcome = GeneratedImage(LARGE)
    stored = await app.create()
    bodies: list[dict[str, Any]] = [
        {"files": {"image": LARGE}, "data": {"prompt": "x"}},
        {"json": {"prompt": "x", "image": DATA_URL}},
        {"json": {"prompt": "x", "image": {"file_id": stored["guid"]}}},
    ]
    other = spool.open()
    other.append(bytes(7 * MIB))
    for body in bodies:
        answer = await app.client.post(EDITS, auth=basic(ALICE), **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "capacity-exceeded")
        assert int(answer.headers["retry-after"]) >= 1
        assert spool.used_bytes == 7 * MIB
    other.close()
    for body in bodies:
        answer = await app.client.post(EDITS, auth=basic(ALICE), **body)
        assert answer.status_code == 200, answer.text
    assert spool.used_bytes == 0


async def test_copies_of_stored_images_are_given_back_if_another_is_missing(app: HttpApp, spool: Spool) -> None:
    app.generator.outcome = GeneratedImage(LARGE)
    stored = await app.create()
    images = [{"file_id": stored["guid"]}, {"file_id": MISSING}]
    answer = await app.client.post(EDITS, json={"prompt": "x", "images": images}, auth=basic(ALICE))
    assert (answer.status_code, spool.used_bytes) == (404, 0)


PICTURE = {"image": DATA_URL}
REFUSED: dict[str, tuple[str, bytes]] = {
    "json that ends early": ("application/json", json.dumps(PICTURE).encode()[:-2]),
    "json with a broken escape": ("application/json", json.dumps(PICTURE).encode().replace(b"base64,", b"base64,\\q")),
    "json that is a list": ("application/json", json.dumps([DATA_URL]).encode()),
    "json with bad base64": ("application/json", json.dumps({"image": [DATA_URL, DATA_URL + "!"]}).encode()),
    "json with no picture": ("application/json", json.dumps({"prompt": "x", "images": [DATA_URL, "nothing"]}).encode()),
    "json with other bytes": (
        "application/json",
        json.dumps({"prompt": "x", "images": [DATA_URL, "data:image/png;base64," + "AAAA" * MIB]}).encode(),
    ),
    "json with too many": (
        "application/json",
        json.dumps({"prompt": "x", "images": [DATA_URL] * 2 + ["a"] * 20}).encode(),
    ),
    "json with two masks": ("application/json", json.dumps({"mask": DATA_URL, "mask[]": DATA_URL}).encode()),
    "json with an unknown image": (
        "application/json",
        json.dumps({"prompt": "x", "images": [DATA_URL, {"file_id": MISSING}]}).encode(),
    ),
    "json without a prompt": ("application/json", json.dumps(PICTURE).encode()),
    "json with a wrong option": ("application/json", json.dumps({"prompt": "x", "stream": "x", **PICTURE}).encode()),
    "json with a long option": (
        "application/json",
        json.dumps({"prompt": "x", "a": "b" * 2 * MIB, **PICTURE}).encode(),
    ),
    "form that ends early": (FORM, form(PROMPT, IMAGE, end=b"")),
    "form of another boundary": (FORM, b"--Y\r\n" + bytes(2 * MIB)),
    "form with a broken header": (FORM, form(PROMPT, IMAGE, ("name", b""))),
    "form with an unknown encoding": (FORM, form(IMAGE, ('name="a"\r\nContent-Transfer-Encoding: x', b""))),
    "form with bad base64": (
        FORM,
        form(PROMPT, IMAGE, ('name="image"; filename="b"\r\nContent-Transfer-Encoding: base64', b"!" * 2 * MIB)),
    ),
    "form with long quoted-printable": (
        FORM,
        form(
            PROMPT, IMAGE, ('name="image"; filename="b"\r\nContent-Transfer-Encoding: quoted-printable', b"a" * 2 * MIB)
        ),
    ),
    "form with a long text": (FORM, form(PROMPT, IMAGE, ('name="a"', b"a" * 2 * MIB))),
    "form with a text for a picture": (FORM, form(PROMPT, IMAGE, ('name="image"', b"a" * 2 * MIB))),
    "form in an unknown charset": (FORM, form(IMAGE, ('name="a"', b"\xff"))),
    "form with two masks": (FORM, form(PROMPT, IMAGE, *[('name="mask"; filename="a"', LARGE)] * 2)),
    "form with a name twice": (FORM, form(PROMPT, PROMPT, IMAGE)),
    "form with two kinds of names": (FORM, form(PROMPT, IMAGE, ('name="images"; filename="a"', LARGE))),
    "form with other bytes": (FORM, form(PROMPT, IMAGE, ('name="image"; filename="a"', bytes(2 * MIB)))),
    "form without a picture": (FORM, form(PROMPT, ('name="mask"; filename="a"', LARGE))),
}


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("name", REFUSED)
async def test_an_upload_that_is_refused_leaves_nothing(
    app: HttpApp, spool: Spool, open_files: Callable[[], int], name: str, coding: str
) -> None:
    media_type, body = REFUSED[name]
    headers = {"Content-Type": media_type, "Content-Encoding": coding}
    content = gzip.compress(body, 1) if coding == "gzip" else body
    answer = await app.client.post(EDITS, content=content, headers=headers, auth=basic(ALICE))
    assert answer.status_code in {400, 404, 413}, answer.text
    assert (spool.used_bytes, open_files()) == (0, 0)
    assert app.generator.requests == []


@pytest.mark.parametrize("media_type", ["application/json", FORM])
@pytest.mark.parametrize("sent", [1, 1000, MIB + MIB // 2])
async def test_an_upload_whose_client_leaves_leaves_nothing(
    app: HttpApp, spool: Spool, open_files: Callable[[], int], media_type: str, sent: int
) -> None:
    body = json.dumps(PICTURE).encode() if media_type != FORM else form(PROMPT, IMAGE)
    used: list[int] = []

    async def note() -> None:
        used.append(spool.used_bytes)

    messages: list[Mapping[str, Any]] = [{"type": "http.request", "body": body[:sent], "more_body": True}]
    answer = await app.raw(
        "POST", EDITS, headers=[(b"content-type", media_type.encode())], messages=messages, then=note
    )
    assert answer.status is None
    assert len(used) == 1
    assert (spool.used_bytes, open_files()) == (0, 0)


@pytest.mark.parametrize("outcome", ["made", "failed", "streamed"])
async def test_an_upload_is_given_back_after_its_generation(
    app: HttpApp, spool: Spool, open_files: Callable[[], int], outcome: str
) -> None:
    used: list[int] = []
    app.generator.on_call = lambda: used.append(spool.used_bytes)
    if outcome == "failed":
        app.generator.outcome = GeneratorUnavailableError("no")
    fields = {"prompt": "x"} | ({"stream": "true"} if outcome == "streamed" else {})
    answer = await app.client.post(EDITS, data=fields, files={"image": LARGE}, auth=basic(ALICE))
    assert answer.status_code == (502 if outcome == "failed" else 200), answer.text
    assert used[0] >= len(LARGE)
    assert (spool.used_bytes, open_files()) == (0, 0)


async def test_a_form_of_many_large_parts_takes_one_descriptor(app: HttpApp, open_files: Callable[[], int]) -> None:
    found: list[int] = []
    app.generator.on_call = lambda: found.append(open_files())
    files = [(f"image[{number}]", PNG + bytes(300_000)) for number in range(16)]
    answer = await app.client.post(EDITS, data={"prompt": "x"}, files=files, auth=basic(ALICE))
    assert answer.status_code == 200, answer.text
    assert found == [1]
    assert open_files() == 0


# --- a service ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        upstream = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
    settings = {
        "PIXYPROXY_GENERATOR": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": upstream,
        "PIXYPROXY_ANONYMOUS": "write",
    }
    with Service(tmp_path_factory.mktemp("uploads"), **settings) as running:
        yield running


def test_aborted_uploads_leave_descriptors_and_disk_level(service: Service) -> None:
    parts = urlsplit(service.url)
    bodies = [
        ("application/json", json.dumps(PICTURE).encode()),
        (FORM, form(PROMPT, IMAGE)),
    ]
    seen = 0
    for number in range(200):
        media_type, body = bodies[number % 2]
        sent = len(body) * (number % 10 + 1) // 11
        head = f"POST {EDITS} HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(head.encode() + body[:sent])
            if sent > IN_MEMORY_BYTES and number % 10 == 9:
                deadline = Deadline("the upload was spooled")
                while not spool_files(service.folder / "data" / "spool", service.pid):
                    deadline.wait()
                seen += 1
    assert seen > 0
    deadline = Deadline("the spool was empty")
    while spool_files(service.folder / "data" / "spool", service.pid):
        deadline.wait()
    assert list((service.folder / "data" / "spool").iterdir()) == []
    # The room of all of them is there again.
    with service.client() as client:
        answer = client.post(EDITS, json={"prompt": "x", **PICTURE})
        assert answer.json()["error"]["code"] != "capacity-exceeded"


def real_picture(size: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (61, 37)).save(out, "PNG")
    return out.getvalue() + bytes(size - len(out.getvalue()))


def document(pictures: int, size: int) -> Iterator[bytes]:
    """Yield a JSON body in pieces."""
    text = base64.b64encode(real_picture(size)).replace(b"/", b"\\/")
    yield b'{"prompt": "x", "images": ['
    for number in range(pictures):
        yield b"," * (number > 0) + b'"data:image\\/png;base64,'
        for at in range(0, len(text), MIB):
            yield text[at : at + MIB]
        yield b'"'
    yield b"]}"


def peak_kib(service: Service) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{service.pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("pictures", "mib", "limit_mib"), [(2, 30, 90), pytest.param(4, 50, 150, marks=pytest.mark.slow)]
)
def test_a_large_document_takes_little_memory(service: Service, pictures: int, mib: int, limit_mib: int) -> None:
    before = peak_kib(service)
    with service.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = client.post(EDITS, content=document(pictures, mib * MIB), headers=headers)
    # It is read, checked and sent to an upstream that is not there.
    assert answer.json()["error"]["code"] == "generator-unavailable", answer.text
    assert peak_kib(service) - before < limit_mib * 1024
    assert spool_files(service.folder / "data" / "spool", service.pid) == []
