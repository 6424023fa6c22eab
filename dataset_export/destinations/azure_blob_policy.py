"""The least that credentials need on Azure Blob Storage."""

import json

from dataset_export.destinations.policy import Operation, Policy

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
READ = (f"{BLOBS}/read", "SAS: r")
WRITE = (f"{BLOBS}/write", "SAS: w")
DELETE = (f"{BLOBS}/delete", "SAS: d")
LIST = (f"{BLOBS}/read", "SAS: l")
PERMISSIONS = {
    Operation.CHECK: LIST,
    Operation.STAGE: (*WRITE, *READ, *DELETE),
    Operation.CONFIRM: READ,
    Operation.PUBLISH: (*WRITE, *READ),
    Operation.LIST: LIST,
    Operation.READ: READ,
    Operation.PUT: (*WRITE, *READ),
    Operation.REPLACE: WRITE,
    Operation.DELETE: DELETE,
    Operation.LEFTOVERS: (*LIST, *READ),
    Operation.DISCARD: (*READ, *DELETE),
}
SAS_PERMISSIONS = "rwdl"


def azure_blob_policy(account: str, container: str, folder: str) -> Policy:
    """A custom role that allows deliveries to a container and nothing else. `folder` ("" for all of the container) is
    named in a note: a role on the container cannot be narrowed to it without conditions."""
    scope = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/"
        f"{account}/blobServices/default/containers/{container}"
    )
    document = {
        "Name": f"dataset_export to {account}/{container}",
        "Description": "Write, read, list and delete blobs of one container.",
        "Actions": [],
        "DataActions": [f"{BLOBS}/{action}" for action in ("read", "write", "delete")],
        "AssignableScopes": [scope],
    }
    notes = [
        "Make it a custom role (`az role definition create`) and assign it on the container; the built-in role Storage "
        "Blob Data Contributor holds the same data actions and a few more.",
        f"A SAS for the container needs the permissions {SAS_PERMISSIONS} (read, write, delete, list).",
    ]
    if folder.strip("/"):
        notes.append(
            f"It covers the whole container: to narrow it to {folder.strip('/')}/, add a condition on the blob's path."
        )
    return Policy(PERMISSIONS, json.dumps(document, indent=2), tuple(notes))
