"""Keys for single purposes, derived from one secret."""

import hmac


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes that reveals neither the secret nor the key for another purpose.

    This is HKDF with SHA-256 (RFC 5869) without a salt; its first step evens out secrets that people typed.
    """
    extracted = hmac.digest(b"", secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")
