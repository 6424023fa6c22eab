"""A bucket of the Google Cloud Storage server."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataset_export.destinations.contract import HIDDEN_FOLDER, Staged
from dataset_export.destinations.gcs import GCSDestination
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.gcs import CloudStorage

FOLDER = "team/exports"
UNUSED = ("client_email", "private_key", "private_key_id")


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder of a new bucket."""
    server: CloudStorage = request.getfixturevalue("cloud_storage")
    bucket = server.create_bucket()

    def destination(
        *, port: int = server.port, bucket: str = bucket, secret: str = server.access.hmac_secret
    ) -> GCSDestination:
        return GCSDestination(
            bucket=bucket,
            folder=FOLDER,
            endpoint_url=f"http://127.0.0.1:{port}",
            hmac_access_id=server.access.hmac_id,
            hmac_secret=secret,
            allow_insecure=True,
        )

    return Place(
        "google_cloud_storage",
        destination(),
        BucketWitness(server, bucket, obstore_client(server, bucket)),
        refused=destination(secret="wrong"),
        missing=destination(bucket="no-such-bucket"),
        port=server.port,
        at_port=lambda other: destination(port=other),
    )


def obstore_client(server: CloudStorage, bucket: str) -> Any:
    """A client of obstore, which is no code of ours and speaks the XML API, with tokens of the server."""
    from obstore.store import GCSStore

    # Only the endpoint of this key counts: the tokens come from the server.
    key = json.dumps({"gcs_base_url": server.endpoint, "disable_oauth": True} | dict.fromkeys(UNUSED, ""))

    def token() -> dict[str, Any]:
        return {"token": server.access.token(), "expires_at": datetime.now(UTC) + timedelta(hours=1)}

    return GCSStore(
        bucket,
        config={"service_account_key": key},
        client_options={"allow_http": True},
        credential_provider=token,
    )


@dataclass(frozen=True)
class BucketWitness:
    """The bucket, by obstore, and by the server itself where unfinished uploads are asked for."""

    server: CloudStorage
    bucket: str
    client: Any

    def everything(self) -> list[str]:
        return self.server.buckets[self.bucket].everything()

    def plant(self, path: str, data: bytes) -> None:
        self.client.put(f"{FOLDER}/{path}", data, use_multipart=False)

    def damage(self, staged: Staged) -> None:
        hidden = f"{HIDDEN_FOLDER}/staging/{staged.path}/{staged.handle['token']}"
        self.plant(hidden, b"x" * staged.bytes)
