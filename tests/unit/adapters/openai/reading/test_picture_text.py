"""Base64 in every form in which a picture is sent, and other text."""

import base64
import gzip

import pytest

from pixyproxy.adapters.openai.reading.picture_text import certain_picture, decode_picture, targets_in

DATA = b"\xfb\xff\xfe picture"
TEXT = base64.b64encode(DATA).decode()
BARE = TEXT.rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        BARE,
        BARE + "====",
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        f" \n{TEXT}\r\n\t",
        "\n".join(TEXT),
        f"\ufeff{TEXT}",
        f"{TEXT}\x00",
        TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        f"data:image/png;base64,{TEXT}",
        f"DATA:image/png;charset=x;BASE64,{BARE}",
        f" data:;base64, {TEXT}",
        f"data:image/png;base64,{base64.urlsafe_b64encode(DATA).decode()}",
        f"data:image/png;base64,\n{TEXT[:8]}\n{TEXT[8:]}",
        "data:text/plain,%fb%ff%fe%20picture",
    ],
)
def test_every_form_is_decoded(text: str) -> None:
    assert decode_picture(text) == DATA


@pytest.mark.parametrize(
    "text", ["!", "QUJDR", "no base64!", "äöü=", "QUJD=QUJD", "a", "http://x/y.png", "data:image/png;base64,???"]
)
def test_other_text_is_none(text: str) -> None:
    assert decode_picture(text) is None


@pytest.mark.parametrize("text", ["", " ", "\n", "===", "data:image/png;base64,"])
def test_nothing_is_no_picture(text: str) -> None:
    assert not decode_picture(text)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(100))
PNG_TEXT = base64.b64encode(PNG).decode()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"b'{PNG_TEXT}'",
        f'b"{PNG_TEXT}"',
        f'"{PNG_TEXT}"',
        f" '{PNG_TEXT}'\n",
        f"`{PNG_TEXT}`",
        encoded(PNG_TEXT.encode()),
        encoded(encoded(PNG_TEXT.encode()).encode()),
        encoded(f"b'{PNG_TEXT}'".encode()),
        encoded(f"data:image/png;base64,{PNG_TEXT}".encode()),
        f"data:image/png;base64,{encoded(PNG_TEXT.encode())}",
        f"data:image/png;base64,data:image/png;base64,{PNG_TEXT}",
        encoded(gzip.compress(PNG, mtime=0)),
        PNG.hex(),
        PNG.hex().upper(),
        PNG.hex(" "),
    ],
)
def test_what_is_encoded_once_more_is_decoded_once_more(text: str) -> None:
    assert decode_picture(text) == PNG
    assert certain_picture(text) == PNG


@pytest.mark.parametrize(
    "data", [b"b'QUJD'", b"ABCD" * 20, encoded(b"no picture" * 9).encode(), gzip.compress(b"no", mtime=0)]
)
def test_what_is_no_picture_is_decoded_once(data: bytes) -> None:
    assert decode_picture(encoded(data)) == data
    assert certain_picture(encoded(data)) is None


@pytest.mark.parametrize("text", ["", PNG_TEXT[:40], "A long text that is no picture " * 10, "x" * 1000])
def test_other_text_is_certainly_no_picture(text: str) -> None:
    assert certain_picture(text) is None


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("![a duck](https://x/1.png)", ["https://x/1.png"]),
        ('Here: ![](<https://x/1.png>)\n![2](https://x/2.png "a title") bye', ["https://x/1.png", "https://x/2.png"]),
        ("[![a](https://x/1.png)](https://x/page)", ["https://x/1.png"]),
        (f"![a](data:image/png;base64,{TEXT})", [f"data:image/png;base64,{TEXT}"]),
        (f"look: data:image/png;base64,{TEXT} and go", [f"data:image/png;base64,{TEXT}"]),
        (
            f"<img src='DATA:image/svg+xml;charset=utf-8;base64,{TEXT}'>",
            [f"DATA:image/svg+xml;charset=utf-8;base64,{TEXT}"],
        ),
        ("[a page](https://x/page)", []),
        ("![not closed](https://x/1.png", []),
        ("data:text/plain;base64,QUJD", []),
        ("", []),
    ],
)
def test_pictures_within_text_are_found(text: str, targets: list[str]) -> None:
    assert list(targets_in(text)) == targets
