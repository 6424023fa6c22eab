"""Upload one file once: `python -m benchmarks.uploaders DESTINATION CLIENT FILE`, with the address as JSON in `ADDRESS`.

Prints the seconds that the upload took as the last line. Imports and the making of a client are not in them; connecting
and signing in are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.destination_servers import KEY, Address

OURS = "dataset_export"
CHUNK = 1 << 20
PART = 16 << 20
"""Bytes of a part where a client is tuned."""
AT_ONCE = 8
"""How many parts travel at once where a client is tuned."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Uploader:
    """A client. `prepare` makes the upload of a file to an address; `checksums` says what it hashes on the way."""

    prepare: Callable[[Address, Path], Run]
    checksums: str


def main(destination: str, client: str, file: str) -> None:
    """Prepare, then time the upload."""
    upload = UPLOADERS[destination][client].prepare(json.loads(os.environ["ADDRESS"]), Path(file))
    started = time.perf_counter()
    upload()
    print(time.perf_counter() - started, flush=True)


def delivered(build: Callable[[Address], Any]) -> Callable[[Address, Path], Run]:
    """What an export does with a file: stage, confirm, publish. It is not read faster than it is sent."""

    def prepare(address: Address, file: Path) -> Run:
        store = build(address).build_store()

        def run() -> None:
            chunk = memoryview(bytearray(CHUNK))
            with file.open("rb", buffering=0) as stream, store.stage(KEY, size_hint=file.stat().st_size) as upload:
                while length := stream.readinto(chunk):
                    upload.write(chunk[:length])
            store.confirm(upload.staged)
            store.publish(upload.staged)

        return run

    return prepare


def program(*arguments: Callable[[Address, Path], list[str]] | str) -> Callable[[Address, Path], Run]:
    """A program of the command line."""

    def prepare(address: Address, file: Path) -> Run:
        words = [word for one in arguments for word in ([one] if isinstance(one, str) else one(address, file))]
        words[0] = shutil.which(words[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or ""
        return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    return prepare


def by_obstore(store: Any, file: Path) -> Run:
    """A store of obstore."""
    import obstore

    return lambda: obstore.put(store, KEY, file, chunk_size=PART, max_concurrency=AT_ONCE)


def from_stream(file: Path, upload: Callable[[Any], object]) -> Run:
    """An upload of the SDKs of Azure, which read an open file."""

    def run() -> None:
        with file.open("rb") as stream:
            upload(stream)

    return run


def our_folder(address: Address) -> Any:
    from dataset_export.destinations.local import LocalDestination

    return LocalDestination(folder=address["folder"])


def copy(address: Address, file: Path) -> list[str]:
    target = Path(address["folder"]) / KEY
    target.parent.mkdir()
    return [str(file), str(target)]


def our_s3(address: Address) -> Any:
    from dataset_export.destinations.s3 import S3Destination

    return S3Destination(
        bucket=address["bucket"],
        region_name=address["region"],
        endpoint_url=address["endpoint"],
        aws_access_key_id=address["key"],
        aws_secret_access_key=address["secret"],
        allow_insecure=True,
    )


def boto3(checksum: str = "", **options: Any) -> Callable[[Address, Path], Run]:
    """boto3's managed transfer."""

    def prepare(address: Address, file: Path) -> Run:
        from boto3.s3.transfer import TransferConfig
        from boto3.session import Session

        client = Session().client(
            "s3",
            endpoint_url=address["endpoint"],
            region_name=address["region"],
            aws_access_key_id=address["key"],
            aws_secret_access_key=address["secret"],
        )
        extra = {"ChecksumAlgorithm": checksum} if checksum else {}
        config = TransferConfig(**options)
        return lambda: client.upload_file(str(file), address["bucket"], KEY, ExtraArgs=extra, Config=config)

    return prepare


def s3_by_obstore(address: Address, file: Path) -> Run:
    from obstore.store import S3Store

    store = S3Store(
        address["bucket"],
        endpoint=address["endpoint"],
        region=address["region"],
        access_key_id=address["key"],
        secret_access_key=address["secret"],
        client_options={"allow_http": True},
    )
    return by_obstore(store, file)


def s3_by_rclone(address: Address, file: Path) -> list[str]:
    return [
        *("--s3-provider=Other", "--s3-no-check-bucket", f"--s3-endpoint={address['endpoint']}"),
        *(f"--s3-access-key-id={address['key']}", f"--s3-secret-access-key={address['secret']}"),
        *(f"--s3-region={address['region']}", str(file), f":s3:{address['bucket']}/{KEY}"),
    ]


def our_gcs(address: Address) -> Any:
    from dataset_export.destinations.gcs import GCSDestination

    return GCSDestination(
        bucket=address["bucket"],
        endpoint_url=address["endpoint"],
        service_account_key=address["service_account"],
        allow_insecure=True,
    )


def google(**options: Any) -> Callable[[Address, Path], Run]:
    """The transfer manager of google-cloud-storage."""

    def prepare(address: Address, file: Path) -> Run:
        from google.api_core.client_options import ClientOptions
        from google.cloud.storage import Client, transfer_manager
        from google.oauth2.credentials import Credentials

        # With the key of a service account every process of its own would fetch a token for every part.
        credentials = Credentials(address["token"])
        where = ClientOptions(api_endpoint=address["endpoint"])
        blob = Client("bench", credentials, client_options=where).bucket(address["bucket"]).blob(KEY)
        return lambda: transfer_manager.upload_chunks_concurrently(str(file), blob, **options)

    return prepare


def gcs_by_obstore(address: Address, file: Path) -> Run:
    from obstore.store import GCSStore

    # Only the endpoint of this key counts: the token comes from the server.
    unused = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    key = json.dumps({"gcs_base_url": address["endpoint"], "disable_oauth": True, **unused})
    store = GCSStore(
        address["bucket"],
        config={"service_account_key": key},
        client_options={"allow_http": True},
        credential_provider=lambda: {"token": address["token"], "expires_at": None},
    )
    return by_obstore(store, file)


def our_blob(address: Address) -> Any:
    from dataset_export.destinations.azure_blob import AzureBlobDestination

    return AzureBlobDestination(
        account=address["account"],
        container=address["container"],
        endpoint_url=address["endpoint"],
        account_key=address["key"],
        allow_insecure=True,
    )


def azure(upload: Mapping[str, Any], **options: Any) -> Callable[[Address, Path], Run]:
    """azure-storage-blob."""

    def prepare(address: Address, file: Path) -> Run:
        from azure.storage.blob import ContainerClient

        credential = {"account_name": address["account"], "account_key": address["key"]}
        client = ContainerClient(address["endpoint"], address["container"], credential=credential, **options)

        return from_stream(file, lambda stream: client.get_blob_client(KEY).upload_blob(stream, **upload))

    return prepare


def blob_by_obstore(address: Address, file: Path) -> Run:
    from obstore.store import AzureStore

    store = AzureStore(
        address["container"],
        account_name=address["account"],
        account_key=address["key"],
        endpoint=address["endpoint"],
        client_options={"allow_http": True},
    )
    return by_obstore(store, file)


def blob_by_rclone(address: Address, file: Path) -> list[str]:
    return [
        *(f"--azureblob-account={address['account']}", f"--azureblob-key={address['key']}"),
        *(f"--azureblob-endpoint={address['endpoint']}", "--azureblob-no-check-container"),
        *(str(file), f":azureblob:{address['container']}/{KEY}"),
    ]


def our_lake(address: Address) -> Any:
    from dataset_export.destinations.adls_gen2 import ADLSGen2Destination

    return ADLSGen2Destination(
        account=address["account"],
        filesystem=address["file_system"],
        endpoint_url=address["endpoint"],
        account_key=address["key"],
        allow_insecure=True,
    )


def lake(**upload: Any) -> Callable[[Address, Path], Run]:
    """azure-storage-file-datalake."""

    def prepare(address: Address, file: Path) -> Run:
        from azure.storage.filedatalake import FileSystemClient

        credential = {"account_name": address["account"], "account_key": address["key"]}
        client = FileSystemClient(address["endpoint"], address["file_system"], credential=credential)

        return from_stream(
            file, lambda stream: client.get_file_client(KEY).upload_data(stream, overwrite=True, **upload)
        )

    return prepare


def our_sftp(address: Address) -> Any:
    from dataset_export.destinations.sftp import SFTPDestination

    return SFTPDestination(
        host="127.0.0.1",
        port=int(address["port"]),
        username=address["username"],
        folder=address["folder"],
        private_key=Path(address["key_file"]).read_text(),
        known_hosts=address["known_hosts"],
    )


def openssh(address: Address, file: Path) -> list[str]:
    batch = Path(address["folder"]) / "batch"
    batch.write_text(f"put {file} {address['folder']}/{KEY}\n")
    return [
        *("-q", "-b", str(batch), "-F", "none", "-i", address["key_file"], "-P", address["port"]),
        *("-o", f"UserKnownHostsFile={address['known_hosts']}", "-o", "StrictHostKeyChecking=yes"),
        f"{address['username']}@127.0.0.1",
    ]


def sftp_by_rclone(address: Address, file: Path) -> list[str]:
    return [
        *("--sftp-host=127.0.0.1", f"--sftp-port={address['port']}", f"--sftp-user={address['username']}"),
        *(f"--sftp-key-file={address['key_file']}", f"--sftp-known-hosts-file={address['known_hosts']}"),
        *(str(file), f":sftp:{address['folder']}/{KEY}"),
    ]


RCLONE = ("rclone", "--config=", "--retries=1", "copyto")
BLOCKS = {"max_block_size": PART, "max_single_put_size": PART}

UPLOADERS: Mapping[str, Mapping[str, Uploader]] = {
    "amazon_s3": {
        OURS: Uploader(delivered(our_s3), "SHA-256 of the file, SHA-256 of each part"),
        "boto3": Uploader(boto3(), "CRC32 of each part"),
        "boto3, tuned": Uploader(boto3(multipart_chunksize=PART, max_concurrency=AT_ONCE), "CRC32 of each part"),
        "boto3, tuned, SHA-256": Uploader(
            boto3("SHA256", multipart_chunksize=PART, max_concurrency=AT_ONCE), "SHA-256 of each part"
        ),
        "rclone": Uploader(program(*RCLONE, s3_by_rclone), "MD5 of the file, MD5 of each part"),
        "rclone, tuned": Uploader(
            program(*RCLONE, "--s3-chunk-size=16M", f"--s3-upload-concurrency={AT_ONCE}", s3_by_rclone),
            "MD5 of the file, MD5 of each part",
        ),
        "obstore, tuned": Uploader(s3_by_obstore, "SHA-256 of each part, as its signature"),
    },
    "google_cloud_storage": {
        OURS: Uploader(delivered(our_gcs), "SHA-256 and CRC32C of the file, CRC32C of each part"),
        "transfer_manager": Uploader(google(), "CRC32C of each part"),
        "transfer_manager, tuned": Uploader(google(chunk_size=PART, max_workers=AT_ONCE), "CRC32C of each part"),
        "transfer_manager, tuned, threads": Uploader(
            google(chunk_size=PART, max_workers=AT_ONCE, worker_type="thread"), "CRC32C of each part"
        ),
        "obstore, tuned": Uploader(gcs_by_obstore, "none"),
    },
    "azure_blob": {
        OURS: Uploader(delivered(our_blob), "SHA-256 and MD5 of the file, MD5 of each block"),
        "upload_blob": Uploader(azure({}), "none"),
        "upload_blob, tuned": Uploader(azure({"max_concurrency": AT_ONCE}, **BLOCKS), "none"),
        "upload_blob, tuned, MD5": Uploader(
            azure({"max_concurrency": AT_ONCE, "validate_content": True}, **BLOCKS), "MD5 of each block"
        ),
        "rclone": Uploader(program(*RCLONE, blob_by_rclone), "MD5 of the file, MD5 of each block"),
        "obstore, tuned": Uploader(blob_by_obstore, "none"),
    },
    "sftp": {
        OURS: Uploader(delivered(our_sftp), "SHA-256 of the file"),
        "OpenSSH sftp": Uploader(program("sftp", openssh), "none"),
        "OpenSSH sftp, aes128-gcm": Uploader(program("sftp", "-c", "aes128-gcm@openssh.com", openssh), "none"),
        "rclone": Uploader(program(*RCLONE, sftp_by_rclone), "MD5 of the file, here and at the server"),
    },
    "adls_gen2": {
        OURS: Uploader(delivered(our_lake), "SHA-256 and MD5 of the file, MD5 of each part"),
        "upload_data": Uploader(lake(), "none"),
        "upload_data, tuned": Uploader(lake(max_concurrency=AT_ONCE, chunk_size=PART), "none"),
    },
    "local": {
        OURS: Uploader(delivered(our_folder), "SHA-256 of the file, and again of what was written"),
        "cp": Uploader(program("cp", copy), "none"),
    },
}
"""Ours at its defaults, as an export uses it; the others at their defaults, and tuned."""

if __name__ == "__main__":
    main(*sys.argv[1:])
