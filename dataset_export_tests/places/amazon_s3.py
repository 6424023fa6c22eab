"""A bucket of SeaweedFS."""

from dataclasses import dataclass
from typing import Any

import pytest

from dataset_export.destinations.contract import Staged
from dataset_export.destinations.s3 import S3Destination
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed

FOLDER = "team/exports"


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder of a new bucket."""
    weed: Weed = request.getfixturevalue("weed")
    bucket: str = request.getfixturevalue("bucket")
    port = int(weed.endpoint.rpartition(":")[2])

    def destination(*, port: int = port, bucket: str = bucket, secret: str = ADMIN.secret_key) -> S3Destination:
        return S3Destination(
            bucket=bucket,
            folder=FOLDER,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=ADMIN.access_key,
            aws_secret_access_key=secret,
            allow_insecure=True,
        )

    return Place(
        "amazon_s3",
        destination(),
        BucketWitness(weed.client(), bucket),
        refused=destination(secret="wrong"),
        missing=destination(bucket="no-such-bucket"),
        port=port,
        at_port=lambda other: destination(port=other),
    )


@dataclass(frozen=True)
class BucketWitness:
    """The bucket, by boto3."""

    client: Any
    bucket: str

    def everything(self) -> list[str]:
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return sorted([one["Key"] for one in objects] + [f"upload of {one['Key']}" for one in uploads])

    def plant(self, path: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{FOLDER}/{path}", Body=data)

    def damage(self, staged: Staged) -> None:
        self.client.upload_part(
            Bucket=self.bucket,
            Key=f"{FOLDER}/{staged.path}",
            UploadId=staged.handle["upload_id"],
            PartNumber=1,
            Body=b"x" * staged.bytes,
            ChecksumAlgorithm="SHA256",
        )
