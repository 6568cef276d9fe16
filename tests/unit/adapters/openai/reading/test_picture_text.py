"""Base64 in every form in which a picture is sent, and other text."""

import base64

import pytest

from pixyproxy.adapters.openai.reading.picture_text import decode_picture

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
