"""The least that credentials need on Amazon S3."""

import json
from typing import Any

from dataset_export.destinations.policy import Operation, Policy

LIST = ("s3:ListBucket",)
WRITE = ("s3:PutObject",)
READ = ("s3:GetObject",)
ABORT = ("s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload")


def s3_policy(bucket: str, folder: str) -> Policy:
    """An IAM policy that allows a delivery to `folder` of `bucket` ("" is the whole bucket) and nothing else."""
    folder = folder.strip("/")
    below = f"{folder}/" if folder else ""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            _allow([*LIST, ABORT[0]], f"arn:aws:s3:::{bucket}", prefix=f"{below}*"),
            _allow(
                [*WRITE, *READ, "s3:DeleteObject", "s3:ListMultipartUploadParts", ABORT[1]],
                f"arn:aws:s3:::{bucket}/{below}*",
            ),
        ],
    }
    permissions = {
        Operation.CHECK: (*LIST, ABORT[0]),
        Operation.STAGE: (*WRITE, *ABORT),
        Operation.CONFIRM: ("s3:ListMultipartUploadParts", *READ),
        Operation.PUBLISH: (*WRITE, *READ),
        Operation.LIST: LIST,
        Operation.READ: READ,
        Operation.PUT: (*WRITE, *READ),
        Operation.REPLACE: WRITE,
        Operation.DELETE: ("s3:DeleteObject",),
        Operation.LEFTOVERS: (ABORT[0],),
        Operation.DISCARD: (ABORT[1],),
    }
    return Policy(permissions, json.dumps(document, indent=2), ("Attach it to the user or role that exports.",))


def _allow(actions: list[str], resource: str, *, prefix: str = "*") -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": {"StringLike": {"s3:prefix": prefix}}} if prefix != "*" else {})
