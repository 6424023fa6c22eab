"""Staging in a blob container: blocks that are sent and not committed.

Nothing of it is visible, and the service has checked the MD5 of every block. Blocks belong to a blob's name, not to an
upload, so the id of each block says which upload sent it: those of two tries at one name never mix.
"""

import base64
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dataset_export.destinations.azure_calls import Answered, AzureCalls
from dataset_export.destinations.contract import Staged
from dataset_export.destinations.part_upload import PartUpload, part_size

MAX_BLOCKS = 50_000
MIN_BLOCK_BYTES = 64 << 10
DEFAULT_BLOCK_BYTES = 8 << 20
NO_SUCH_BLOB = frozenset({"BlobNotFound", "ResourceNotFound"})


def block_id(upload: str, number: int) -> str:
    """Id of block `number` (from 1) of an upload. All ids of a blob must have one length, so this never varies."""
    return f"{upload}.{number:05d}"


def new_upload(began: datetime) -> str:
    """The part of the block ids that tells one upload from another and when it began."""
    return f"{int(began.timestamp()):010d}.{secrets.token_hex(8)}"


def began(block: str) -> datetime | None:
    """When the upload of a block began, by its id; None for a block that is not ours."""
    match = re.fullmatch(r"(\d{10})\.[0-9a-f]{16}\.\d{5}", block)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def blocks_of(staged: Staged) -> dict[str, int]:
    """The blocks that a receipt stands for, in order: bytes by id."""
    first, sizes, left = staged.handle["first_block"], dict[str, int](), staged.bytes
    for number in range(1, staged.handle["blocks"] + 1):
        size = min(left, part_size(number, first, MAX_BLOCKS))
        sizes[block_id(staged.handle["upload"], number)] = size
        left -= size
    return sizes


def uncommitted_blocks(container: AzureCalls, key: str) -> list[Any]:
    """The blocks sent for `key` and not committed; none when there is no such blob."""
    try:
        _, uncommitted = container.call(
            "Get Block List",
            lambda client: client.get_blob_client(key).get_block_list("all"),
            expect=NO_SUCH_BLOB,
        )
    except Answered:
        return []
    return uncommitted


def is_visible(container: AzureCalls, key: str) -> bool:
    """Whether there is a committed blob at `key`."""
    try:
        container.call(
            "Get Blob Properties", lambda client: client.get_blob_client(key).get_blob_properties(), expect=NO_SUCH_BLOB
        )
    except Answered:
        return False
    return True


def drop_uncommitted(container: AzureCalls, key: str) -> None:
    """Delete a blob that has uncommitted blocks only. One that is visible stays, and the service drops uncommitted
    blocks beside it after a week."""
    if is_visible(container, key):
        return
    try:
        container.call("Delete Blob", lambda client: client.get_blob_client(key).delete_blob(), expect=NO_SUCH_BLOB)
    except Answered:
        return


class BlockUpload(PartUpload[None]):
    """One file being staged at `key`, in blocks."""

    def __init__(self, container: AzureCalls, key: str, path: str, *, kind: str, first_block: int) -> None:
        super().__init__(path, kind=kind, first_part=first_block, max_parts=MAX_BLOCKS)
        self._container = container
        self._key = key
        self._upload = ""

    def begin(self) -> None:
        """Drop what an earlier try sent for this name."""
        if uncommitted_blocks(self._container, self._key):
            drop_uncommitted(self._container, self._key)
        self._upload = new_upload(datetime.now(UTC))

    def send_part(self, number: int, body: bytes) -> None:
        """Put Block. Sent again after a failure it replaces itself, since its id is the same."""
        name = block_id(self._upload, number)
        self._container.call(
            "Put Block",
            lambda client: client.get_blob_client(self._key).stage_block(
                name, body, length=len(body), validate_content="md5"
            ),
        )

    def handle(self, parts: list[None], md5: bytes) -> Mapping[str, Any]:
        """What the ids and sizes of all blocks follow from, and the MD5 of the file (base64)."""
        return {
            "upload": self._upload,
            "blocks": len(parts),
            "first_block": self.first_part,
            "md5": base64.b64encode(md5).decode(),
        }

    def drop(self) -> None:
        """Delete the uncommitted blob."""
        drop_uncommitted(self._container, self._key)


def sent_since(blocks: list[Any]) -> Iterator[datetime]:
    """When the uploads of these blocks began, for those that are ours."""
    return (moment for block in blocks if (moment := began(block.id)) is not None)
