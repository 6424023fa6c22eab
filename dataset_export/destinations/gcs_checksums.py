"""CRC32C, the checksum that Google Cloud Storage keeps of every object, however it was uploaded."""

import base64
import hashlib
from collections.abc import Mapping

STEP = 1 << 20


class CRC32C:
    """The checksum of bytes that come in pieces."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview) -> None:
        """Append bytes."""
        import google_crc32c

        for start in range(0, len(data), STEP):
            # The library takes immutable bytes only.
            self._value = google_crc32c.extend(self._value, bytes(data[start : start + STEP]))

    def text(self) -> str:
        """As the service writes it: base64 of the big-endian value."""
        return base64.b64encode(self._value.to_bytes(4, "big")).decode()


def hash_header(body: bytes) -> str:
    """The `x-goog-hash` header by which the service checks a body when it arrives."""
    crc32c = CRC32C()
    crc32c.update(memoryview(body))
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return f"crc32c={crc32c.text()},md5={md5}"


def stored_crc32c(headers: Mapping[str, str]) -> str:
    """The checksum that the headers of an answer (lower-case names) say an object has; "" when they do not."""
    hashes = (one.strip().partition("=") for one in headers.get("x-goog-hash", "").split(","))
    return next((value for name, _, value in hashes if name == "crc32c"), "")
