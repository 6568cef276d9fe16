"""`data:` URLs and base64 in every readable form."""

import base64
from urllib.parse import quote

import pytest

from pixyproxy.domain.base64_text import decode_base64, decode_data_url, decode_data_url_pieces, is_data_url

DATA = bytes(range(256)) + b"\xfb\xff\xfe"  # its base64 has + and / and ends in padding
PLAIN = base64.b64encode(DATA).decode()


FORMS = [
    f"data:image/png;base64,{PLAIN}",
    f"DATA:image/png;BASE64,{PLAIN}",
    f"data:;base64,{PLAIN}",
    f"data:image/png; charset=utf-8 ;name=a.png; base64 , {PLAIN} ",
    f"data:image%2Fpng%3Bbase64,{PLAIN}",
    f"data:image/png;base64,{base64.urlsafe_b64encode(DATA).decode()}",
    f"data:image/png;base64,{PLAIN.rstrip('=')}",
    f"data:image/png;base64,{base64.encodebytes(DATA).decode()}",
    f"data:image/png;base64,\r\n\t{base64.encodebytes(DATA).decode()}".replace("\n", "\r\n"),
    f"data:image/png;base64,{quote(PLAIN, safe='')}",
    f"data:image/png;base64,{quote(base64.encodebytes(DATA))}",
    f"data:image/png,{quote(DATA)}",
]


@pytest.mark.parametrize("url", FORMS)
def test_every_readable_form_is_read(url: str) -> None:
    assert is_data_url(url)
    assert decode_data_url(url) == DATA


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/png;base64", "with a comma"),
        (f"data:image/png;base64,{PLAIN[:5]}", "valid base64"),
        (f"data:image/png;base64,{PLAIN[:8]}=={PLAIN[8:]}", "valid base64"),
        (f"data:image/png;base64,####{PLAIN}", "valid base64"),
        ("data:image/png;base64,é", "valid base64"),
    ],
)
def test_what_cannot_be_read_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_data_url(url)


def test_bits_beyond_the_last_byte_do_not_count() -> None:
    assert decode_base64(b"QQ==") == decode_base64(b"QR") == b"A"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("data:,x", True), (" Data:image/png;base64,x", True), ("data:no comma", True), ("database,", False), ("", False)],
)
def test_data_urls_are_recognised(text: str, expected: bool) -> None:
    assert is_data_url(text) == expected


@pytest.mark.parametrize("url", FORMS)
@pytest.mark.parametrize("size", range(1, 9))
def test_the_pieces_of_a_url_make_no_difference(url: str, size: int) -> None:
    head, comma, body = url.partition(",")
    data = body.encode()
    pieces = [f"{head}{comma}".encode(), *(data[at : at + size] for at in range(0, len(data), size))]
    assert b"".join(decode_data_url_pieces(pieces)) == DATA
