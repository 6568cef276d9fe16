"""Keys for one purpose each, derived from one secret."""

import hmac


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes that tells nothing of the secret or of the key for another purpose.

    This is HKDF with SHA-256 (RFC 5869), without a salt: its first step makes an even key even of a secret that
    somebody typed.
    """
    extracted = hmac.digest(b"", secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")
