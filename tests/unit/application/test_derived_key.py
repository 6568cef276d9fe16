"""Keys for one purpose each, from one secret."""

import hashlib
import hmac

from pixyproxy.application.derived_key import derive_key


def test_the_derivation_is_hkdf() -> None:
    # RFC 5869, appendix A.3: no salt, no info; the first of its blocks.
    assert derive_key(b"\x0b" * 22, "").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


def test_the_purpose_is_the_info() -> None:
    extracted = hmac.new(bytes(32), b"secret", hashlib.sha256).digest()
    expanded = hmac.new(extracted, b"api-keys\x01", hashlib.sha256).digest()
    assert derive_key(b"secret", "api-keys") == expanded


def test_every_secret_and_purpose_has_its_own_key() -> None:
    keys = {
        derive_key(secret, purpose) for secret in (b"a" * 32, b"b" * 32) for purpose in ("api-keys", "content-urls")
    }
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
