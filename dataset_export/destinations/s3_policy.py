"""The least that credentials need on Amazon S3."""

import json
from typing import Any

from dataset_export.destinations.policy import Operation, Policy

LIST = ("s3:ListBucket",)
WRITE = ("s3:PutObject",)
READ = ("s3:GetObject",)
ABORT = ("s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload")
ENCRYPT = ("kms:GenerateDataKey", "kms:Decrypt")
"""A multipart upload needs to decrypt as well: the service reads the parts when it puts them together."""
ASSUME = ("sts:AssumeRole",)


def s3_policy(
    bucket: str, folder: str, *, kms_key: str = "", role: str | None = None, external_id: str | None = None
) -> Policy:
    """An IAM policy that allows a delivery to `folder` of `bucket` ("" is the whole bucket) and nothing else.

    Args:
        bucket: its name.
        folder: the destination's folder.
        kms_key: id, alias or ARN of the customer's key that encrypts; "" for none, or for the account's own S3 key,
            which needs no permission.
        role: ARN of the role that is assumed; the policy is then the role's.
        external_id: what the role's trust policy asks for.
    """
    folder = folder.strip("/")
    below = f"{folder}/" if folder else ""
    statements = [
        _allow([*LIST, ABORT[0]], f"arn:aws:s3:::{bucket}"),
        _allow(
            [*WRITE, *READ, "s3:DeleteObject", "s3:ListMultipartUploadParts", ABORT[1]],
            f"arn:aws:s3:::{bucket}/{below}*",
        ),
    ]
    encrypt = ENCRYPT if kms_key else ()
    decrypt = ENCRYPT[1:] if kms_key else ()
    if kms_key:
        statements.append(_allow_key(kms_key))
    permissions = {
        Operation.CHECK: (*(ASSUME if role else ()), *LIST, ABORT[0]),
        Operation.STAGE: (*WRITE, *ABORT, *encrypt),
        Operation.CONFIRM: ("s3:ListMultipartUploadParts", *READ),
        Operation.PUBLISH: (*WRITE, *READ, *decrypt),
        Operation.LIST: LIST,
        Operation.READ: (*READ, *decrypt),
        Operation.PUT: (*WRITE, *READ, *encrypt),
        Operation.REPLACE: (*WRITE, *encrypt[:1]),
        Operation.DELETE: ("s3:DeleteObject",),
        Operation.LEFTOVERS: (ABORT[0],),
        Operation.DISCARD: (ABORT[1],),
    }
    document = {"Version": "2012-10-17", "Statement": statements}
    notes = [f"Attach it to the role {role}." if role else "Attach it to the user or role that exports."]
    if role:
        asks = f", on the condition that sts:ExternalId is {external_id}" if external_id else ""
        notes.append(
            f"The credentials that assume the role need {ASSUME[0]} on {role} and nothing else; the role's trust policy "
            f"has to allow it to them{asks}."
        )
    if folder:
        notes.append(
            "Names of other folders can be listed: unfinished uploads cannot be narrowed to a folder, and when "
            "s3:ListBucket is, the service answers 'forbidden' and not 'not found' for a file that does not exist."
        )
    return Policy(permissions, json.dumps(document, indent=2), tuple(notes))


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _allow_key(key: str) -> dict[str, Any]:
    if key.startswith("arn:") and ":alias/" not in key:
        return _allow([*ENCRYPT], key)
    if "alias/" in key:
        # An alias is no resource of a policy; the key behind it is named by a condition.
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{key.partition('alias/')[2]}"}}
        return _allow([*ENCRYPT], "*") | {"Condition": condition}
    return _allow([*ENCRYPT], f"arn:aws:kms:*:*:key/{key}")
