"""The least that credentials need on Azure Data Lake Storage Gen2."""

import json

from dataset_export.destinations.policy import Operation, Policy

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
READ = (f"{BLOBS}/read", "SAS: r")
LIST = (f"{BLOBS}/read", "SAS: l")
WRITE = (f"{BLOBS}/write", "SAS: w")
RENAME = (f"{BLOBS}/move/action", "SAS: m")
DELETE = (f"{BLOBS}/delete", "SAS: d")
PERMISSIONS = {
    Operation.CHECK: LIST,
    Operation.STAGE: (*LIST, *WRITE, *DELETE),
    Operation.CONFIRM: READ,
    Operation.PUBLISH: (*RENAME, *WRITE, *READ, *DELETE),
    Operation.LIST: LIST,
    Operation.READ: READ,
    Operation.PUT: (*WRITE, *RENAME, *READ, *DELETE),
    Operation.REPLACE: (*WRITE, *RENAME, *READ, *DELETE),
    Operation.DELETE: (*DELETE, *READ),
    Operation.LEFTOVERS: LIST,
    Operation.DISCARD: DELETE,
}
SAS_PERMISSIONS = "rwdlm"


def adls_gen2_policy(account: str, filesystem: str, folder: str) -> Policy:
    """A custom role that allows deliveries to a file system and nothing else. `folder` ("" for all of it) is named in a
    note: access control lists of the service narrow credentials to a folder, a role does not without conditions."""
    scope = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/"
        f"{account}/blobServices/default/containers/{filesystem}"
    )
    document = {
        "Name": f"dataset_export to {account}/{filesystem}",
        "Description": "Write, read, rename, list and delete paths of one file system.",
        "Actions": [],
        "DataActions": [f"{BLOBS}/{action}" for action in ("read", "write", "delete", "move/action")],
        "AssignableScopes": [scope],
    }
    notes = [
        "Make it a custom role (`az role definition create`) and assign it on the container; the built-in role Storage "
        "Blob Data Contributor holds the same data actions and one more.",
        f"A SAS for the container needs the permissions {SAS_PERMISSIONS} (read, write, delete, list, move).",
    ]
    if folder.strip("/"):
        notes.append(
            f"It covers the whole file system: to narrow a principal to {folder.strip('/')}/, give it no role but an "
            "access control list there: rwx on the folder and as its default, and x on every folder above it."
        )
    return Policy(PERMISSIONS, json.dumps(document, indent=2), tuple(notes))
