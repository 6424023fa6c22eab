"""The type `sftp`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.sftp import MOST_CONNECTIONS, SFTPDestination


class SFTPAttributes(AnyDestinationAttributes):
    """A folder of an SFTP server."""

    type: Literal["sftp"] = Field(description="sftp: a folder of an SFTP server.")
    host: str = Field(min_length=1, description="Name or address of the server.")
    port: int = Field(default=22, ge=1, le=65535, description="Port of the server. Default: 22.")
    username: str = Field(min_length=1, description="Name of the account.")
    folder: str = Field(
        default="",
        description="Folder to deliver to, made at the first delivery. Relative ones start where logins of the account "
        "do. Default: there.",
    )
    password: SecretField | None = Field(
        default=None,
        description="Password, by reference: {env: NAME} or {file: PATH}. Give it, a private_key, or both.",
    )
    private_key: SecretField | None = Field(
        default=None, description="Private key in OpenSSH's or PEM format, by reference."
    )
    passphrase: SecretField | None = Field(default=None, description="Passphrase of the private key, by reference.")
    known_hosts: str | None = Field(
        default=None,
        description="File with the host keys of the server, in the format of OpenSSH's known_hosts. This or "
        "host_key_fingerprint is required.",
    )
    host_key_fingerprint: str | None = Field(
        default=None, description="Fingerprint of the server's host key, SHA256:…, as `ssh-keygen -l` prints it."
    )
    max_connections: int = Field(
        default=4, ge=1, le=MOST_CONNECTIONS, description="How many connections there may be at once. Default: 4."
    )
    read_back_hash: bool = Field(
        default=False,
        description="Whether staged files are read back and hashed before they become visible. Default: their size is "
        "compared.",
    )

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> SFTPDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        if not {"password", "private_key"} & set(secrets):
            raise source.error("the account has to prove who it is; give a password or a private_key", "username")
        if "passphrase" in secrets and "private_key" not in secrets:
            raise source.error("a passphrase belongs to a private_key; give that too", "passphrase")
        if (self.known_hosts is None) == (self.host_key_fingerprint is None):
            raise source.error(
                "the host key is always verified; give known_hosts or host_key_fingerprint, exactly one of the two",
                "host" if self.known_hosts is None else "known_hosts",
            )
        return SFTPDestination(
            host=self.host,
            port=self.port,
            username=self.username,
            folder=self.folder,
            password=secrets.get("password"),
            private_key=secrets.get("private_key"),
            passphrase=secrets.get("passphrase"),
            known_hosts=source.path(self.known_hosts, "known_hosts") if self.known_hosts is not None else None,
            host_key_fingerprint=self.host_key_fingerprint,
            max_connections=self.max_connections,
            read_back_hash=self.read_back_hash,
        )
