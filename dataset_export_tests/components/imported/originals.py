"""Objects in the shapes of Adobe's API, as its documentation shows them: to be sent, or as they are read back."""

from typing import Any

SECRET = "hunter2"
"""In every value that is a secret."""

SPECS = {
    "amazon_s3": ("4fce964d-3f37-408f-9778-e597338a21ee", "269ba276-16fc-47db-92b0-c1049a3c131f"),
    "azure_blob": ("6d6b59bf-fb58-4107-9064-4d246c0e5bb2", "95bd8965-fc8a-4119-b9c3-944c2c2df6d2"),
    "adls_gen2": ("be2c3209-53bc-47e7-ab25-145db8b873e1", "17be2013-2549-41ce-96e7-a70363bec293"),
    "data_landing_zone": ("10440537-2a7b-4583-ac39-ed38d4b848e8", "cd2fc47e-e838-4f38-a581-8fff2f99b63a"),
    "google_cloud_storage": ("c5d93acb-ea8b-4b14-8f53-02138444ae99", "585c15c4-6cbf-4126-8f87-e26bff78b657"),
    "sftp": ("36965a81-b1c6-401b-99f8-22508f1e6a26", "354d6aad-4754-46e4-a576-1b384561c440"),
}
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"

SIGN_INS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "access key": (
        "amazon_s3",
        "Access Key",
        {"s3AccessKey": f"AKIA{SECRET}", "s3SecretKey": f"{SECRET}{SECRET}/+"},
    ),
    "role": ("amazon_s3", "Assumed Role", {"s3Role": "arn:aws:iam::800873819705:role/destinations-role-customer"}),
    "connection string": (
        "azure_blob",
        "ConnectionString",
        {"connectionString": f"DefaultEndpointsProtocol=https;AccountName=partner;AccountKey={SECRET}"},
    ),
    "service principal": (
        "adls_gen2",
        "Azure Service Principal Auth",
        {
            "url": "abfss://exports@partneraccount.dfs.core.windows.net",
            "servicePrincipalId": "11111111-2222-3333-4444-555555555555",
            "servicePrincipalKey": SECRET,
            "tenant": "contoso.onmicrosoft.com",
        },
    ),
    "HMAC": (
        "google_cloud_storage",
        "Google Cloud Storage authentication credentials",
        {"accessKeyId": f"GOOG{SECRET}", "secretAccessKey": SECRET},
    ),
    "password": ("sftp", "SFTP with Password", {"domain": "sftp.example", "username": "acme", "password": SECRET}),
    "SSH key": (
        "sftp",
        "SFTP with SSH Key",
        {"domain": "sftp.example", "port": 2222, "username": "acme", "sshKey": f"{SECRET}aGVsbG8="},
    ),
    "the older names": (
        "sftp",
        "Basic Authentication for sftp",
        {"host": "sftp.example", "port": 22, "userName": "acme", "password": SECRET},
    ),
}
PLACES: dict[str, dict[str, Any]] = {
    "amazon_s3": {"bucketName": "partner-exports", "path": "acme/exports"},
    "azure_blob": {"container": "exports", "path": "acme"},
    "adls_gen2": {"path": "acme"},
    "data_landing_zone": {"path": "acme"},
    "google_cloud_storage": {"bucketName": "partner-exports", "path": "/acme/"},
    "sftp": {"remotePath": "/home/acme/in"},
}
LOYALTY = "5f0d6b2c9f4b7a194a1b2c3d"
EVENTS = "60a1f0e2c4d3b5a697887766"

DAILY = {"exportMode": "FIRST_FULL_THEN_INCREMENTAL", "timeUnit": "day", "interval": 1, "startTime": 1793602800}
"""2026-11-02 at 07:00 UTC."""


def base(sign_in: str = "access key", **more: Any) -> dict[str, Any]:
    of_type, spec_name, params = SIGN_INS[sign_in]
    return {
        "name": "Partner",
        "auth": {"specName": spec_name, "params": params},
        "connectionSpec": {"id": SPECS[of_type][0], "version": "1.0"},
        **more,
    }


def landing_zone(**more: Any) -> dict[str, Any]:
    return {
        "name": "Zone",
        "auth": None,
        "connectionSpec": {"id": SPECS["data_landing_zone"][0], "version": "1.0"},
        **more,
    }


def target(of_type: str = "amazon_s3", params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": "Partner exports",
        "baseConnectionId": "base-1",
        "params": {
            "mode": "Server-to-server",
            **PLACES[of_type],
            "compression": "GZIP",
            "datasetFileType": "PARQUET",
            **(params or {}),
        },
        "connectionSpec": {"id": SPECS[of_type][0], "version": "1.0"},
        **more,
    }


def source(*datasets: tuple[str, str], **more: Any) -> dict[str, Any]:
    named = datasets or ((LOYALTY, "Loyalty members"), (EVENTS, "Web events"))
    return {
        "name": "Datasets of the partner",
        "connectionSpec": {"id": DATA_LAKE, "version": "1.0"},
        "params": {"datasets": [{"dataSetId": id_, "name": name} for id_, name in named]},
        **more,
    }


def flow(of_type: str = "amazon_s3", schedule: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": "Nightly to partner",
        "description": "What the partner gets.",
        "flowSpec": {"id": SPECS[of_type][1], "version": "1.0"},
        "sourceConnectionIds": ["source-1"],
        "targetConnectionIds": ["target-1"],
        "transformations": [],
        "scheduleParams": schedule or {**DAILY, "endTime": 1809586800},
        **more,
    }


def read_back(body: dict[str, Any], id_: str) -> dict[str, Any]:
    """As the service gives it: with an id, times, and its other keys."""
    return {
        **body,
        "id": id_,
        "createdAt": 1793000000000,
        "updatedAt": 1793000000000,
        "createdBy": "x@AdobeID",
        "updatedBy": "x@AdobeID",
        "createdClient": "exc_app",
        "updatedClient": "exc_app",
        "sandboxId": "d537df80-c5d7-11e9-aafb-87c71c35cac8",
        "sandboxName": "prod",
        "imsOrgId": "1234@AdobeOrg",
        "version": '"1500"',
        "etag": '"1500"',
        "state": "enabled",
    }
