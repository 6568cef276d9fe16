"""The identity in the marker of a blob store, also as people write it."""

import pytest

from pixyproxy.ports.blob_store import identity_in

IDENTITY = "0b9f1c2d-5b1e-4c59-9a0e-6a9f6a1d7f8e"


@pytest.mark.parametrize(
    ("marker", "is_one"),
    [
        (f"{IDENTITY}\nThis folder holds pictures.\n".encode(), True),
        (f"{IDENTITY}\r\n".encode(), True),
        (IDENTITY.encode(), True),
        (f"\ufeff{IDENTITY}\r\n".encode(), True),
        (f"  \n{IDENTITY.upper()}  \n\xff".encode("latin-1"), True),
        (b"", False),
        (b"\0" * 36, False),
        (b"no identity", False),
        (IDENTITY.replace("-", "").encode(), False),
        (IDENTITY.encode("utf-16"), False),
    ],
)
def test_a_marker_begins_with_the_identity(marker: bytes, is_one: bool) -> None:
    assert identity_in(marker) == (IDENTITY if is_one else None)
