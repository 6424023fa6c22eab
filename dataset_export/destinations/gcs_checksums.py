"""CRC32C, the checksum that Google Cloud Storage keeps of every object, however it was uploaded."""

import base64
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
        return _text(self._value)


def hash_header(body: bytes) -> str:
    """The `x-goog-hash` header by which the service checks a body when it arrives. It has no MD5, which would take longer than
    all the rest of sending a part."""
    import google_crc32c

    return f"crc32c={_text(google_crc32c.value(body))}"


def stored_crc32c(headers: Mapping[str, str]) -> str:
    """The checksum that the headers of an answer (lower-case names) say an object has; "" when they do not."""
    hashes = (one.strip().partition("=") for one in headers.get("x-goog-hash", "").split(","))
    return next((value for name, _, value in hashes if name == "crc32c"), "")


def _text(value: int) -> str:
    return base64.b64encode(value.to_bytes(4, "big")).decode()
