"""How the server keeps what is sent to a bucket: encryption and storage class."""

from typing import Any, NamedTuple

from dataset_export.errors import ConfigError

KMS = frozenset({"aws:kms", "aws:kms:dsse"})
ENCRYPTIONS = frozenset({"AES256"}) | KMS
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class KeptAs(NamedTuple):
    """The fields that a person gives. None everywhere leaves it to the bucket."""

    server_side_encryption: str | None = None
    kms_key_id: str | None = None
    bucket_key: bool | None = None
    storage_class: str | None = None

    @property
    def by_kms(self) -> bool:
        """Whether a KMS key encrypts."""
        return self.server_side_encryption in KMS

    def checked(self) -> "KeptAs":
        """These fields, when they go together. Raises ConfigError."""
        if self.server_side_encryption is not None and self.server_side_encryption not in ENCRYPTIONS:
            raise ConfigError(
                f"server_side_encryption is {self.server_side_encryption!r}: it is one of {', '.join(sorted(ENCRYPTIONS))}"
            )
        if not self.by_kms and (self.kms_key_id is not None or self.bucket_key is not None):
            raise ConfigError("kms_key_id and bucket_key belong to server_side_encryption: aws:kms")
        if self.storage_class in ARCHIVES:
            raise ConfigError(
                f"the storage_class {self.storage_class} cannot be read back for hours, so nothing delivered could be "
                "verified: deliver to another class and let a lifecycle rule archive the files"
            )
        return self

    def encryption(self) -> dict[str, Any]:
        """Arguments of every request that makes an object."""
        given = {
            "ServerSideEncryption": self.server_side_encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "BucketKeyEnabled": self.bucket_key,
        }
        return {name: value for name, value in given.items() if value is not None}

    def file_arguments(self) -> dict[str, Any]:
        """Arguments of the uploads of data files. Manifests and journals stay in the bucket's default class: they are
        small and are read and replaced, which the cheaper classes charge for."""
        return self.encryption() | ({} if self.storage_class is None else {"StorageClass": self.storage_class})
