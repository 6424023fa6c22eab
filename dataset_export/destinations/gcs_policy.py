"""The least that credentials need on Google Cloud Storage."""

import json

from dataset_export.destinations.policy import Operation, Policy

CREATE = ("storage.objects.create",)
READ = ("storage.objects.get",)
LIST = ("storage.objects.list",)
DELETE = ("storage.objects.delete",)
UPLOAD = ("storage.multipartUploads.create",)
LIST_UPLOADS = ("storage.multipartUploads.list",)
ABORT = ("storage.multipartUploads.abort",)
PERMISSIONS = {
    Operation.CHECK: (*LIST, *LIST_UPLOADS),
    Operation.STAGE: (*LIST, *LIST_UPLOADS, *UPLOAD, *CREATE, *READ, *ABORT, *DELETE),
    Operation.CONFIRM: READ,
    Operation.PUBLISH: (*CREATE, *READ, *DELETE),
    Operation.LIST: LIST,
    Operation.READ: READ,
    Operation.PUT: (*CREATE, *READ),
    Operation.REPLACE: (*CREATE, *DELETE),
    Operation.DELETE: DELETE,
    Operation.LEFTOVERS: (*LIST, *LIST_UPLOADS),
    Operation.DISCARD: (*DELETE, *ABORT),
}


def gcs_policy(bucket: str, folder: str) -> Policy:
    """A custom role that allows deliveries, to be granted on the bucket. `folder` ("" for the whole bucket) is named in a
    note: listings are asked of the bucket, so the role cannot be narrowed to it as a whole."""
    role = {
        "title": "dataset_export",
        "description": "Write, read, list and delete objects of a bucket, and its unfinished uploads.",
        "stage": "GA",
        "includedPermissions": sorted({permission for needed in PERMISSIONS.values() for permission in needed}),
    }
    notes = [
        "Make it a custom role (`gcloud iam roles create dataset_export --project PROJECT --file FILE`) and grant it on "
        f"the bucket (`gcloud storage buckets add-iam-policy-binding gs://{bucket} --member "
        "serviceAccount:ACCOUNT --role projects/PROJECT/roles/dataset_export`); the predefined role Storage Object User "
        "holds these permissions and a few more.",
        "An HMAC key has the permissions of the service account that it belongs to.",
    ]
    if folder.strip("/"):
        notes.append(
            f"It covers the whole bucket: to narrow it to {folder.strip('/')}/, grant the permissions to list on the "
            "bucket, and the others on a managed folder of that name."
        )
    return Policy(PERMISSIONS, json.dumps(role, indent=2), tuple(notes))
