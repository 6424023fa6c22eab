"""A base connection and a target connection: one destination. Secrets become references; none is ever written."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from dataset_export.components.imported.findings import Imported, Todo, unknown
from dataset_export.components.imported.pieces import Body, Piece
from dataset_export.errors import ConfigError
from dataset_export.secret_refs import SecretRef

TYPES: Mapping[str, str] = {
    "4fce964d-3f37-408f-9778-e597338a21ee": "amazon_s3",
    "269ba276-16fc-47db-92b0-c1049a3c131f": "amazon_s3",
    "6d6b59bf-fb58-4107-9064-4d246c0e5bb2": "azure_blob",
    "95bd8965-fc8a-4119-b9c3-944c2c2df6d2": "azure_blob",
    "be2c3209-53bc-47e7-ab25-145db8b873e1": "adls_gen2",
    "17be2013-2549-41ce-96e7-a70363bec293": "adls_gen2",
    "10440537-2a7b-4583-ac39-ed38d4b848e8": "data_landing_zone",
    "cd2fc47e-e838-4f38-a581-8fff2f99b63a": "data_landing_zone",
    "c5d93acb-ea8b-4b14-8f53-02138444ae99": "google_cloud_storage",
    "585c15c4-6cbf-4126-8f87-e26bff78b657": "google_cloud_storage",
    "36965a81-b1c6-401b-99f8-22508f1e6a26": "sftp",
    "354d6aad-4754-46e4-a576-1b384561c440": "sftp",
}
"""Ids of connection and flow specifications to our types."""

OF_A_TARGET = frozenset({"mode", "compression", "datasetFileType", "includeFileManifest"})
FORMATS: Mapping[str, str] = {"JSON": "json", "PARQUET": "parquet"}
COMPRESSIONS: Mapping[str, str] = {"GZIP": "gzip", "NONE": "none"}

NO_KEY = "an OpenPGP public key that can encrypt: an armored block, or the path of a file"


def type_of(*specs: str | None) -> str | None:
    """Our type of destination for the ids of specifications, by the first that is known."""
    return next((TYPES[spec] for spec in specs if spec is not None and spec in TYPES), None)


def destination_of(id_: str, of_type: str, base: Piece | None, target: Piece) -> Imported:
    """The destination that files of a flow went to.

    Args:
        id_: for it; names of environment variables begin with it.
        of_type: ours.
        base: None where it holds nothing that is needed.
        target: with location, format and compression.

    Raises:
        ConfigError: for a format or a compression that is none.
    """
    auth = base.body.get("auth") if base is not None else None
    given: Body = auth.get("params") or {} if isinstance(auth, dict) else {}
    made = Imported(
        "Destination", {"id": id_, "name": base.name if base is not None and base.body.get("name") else target.name}
    )
    description = (base.body.get("description") if base is not None else None) or target.body.get("description")
    if description:
        made.attributes["description"] = str(description)
    made.attributes["type"] = of_type
    known = PLACES[of_type](made, given, target.params)
    made.notes += unknown(given, known, "the parameter of the sign-in")
    made.notes += unknown(target.params, known | OF_A_TARGET, "the parameter of the target connection")
    made.attributes |= _files(made, target)
    if base is not None:
        made.attributes |= _encryption(made, base.body.get("encryptionSpecs"))
    return made


def _secret(made: Imported, field: str) -> SecretRef:
    variable = f"{made.id}_{field}".upper()
    made.variables[variable] = f"{field} of {made.id}"
    return SecretRef(env=variable)


def _folder(made: Imported, written: Any) -> dict[str, str]:
    folder = str(written or "").strip("/")
    if "%" in folder:
        made.notes.append(
            "the macros in the path of the target connection are those of audience exports, and have no equivalent"
        )
        return {"folder": Todo(f"the folder, without macros; it was {folder}", "x")}
    return {"folder": folder} if folder else {}


def _amazon_s3(made: Imported, given: Body, target: Body) -> frozenset[str]:
    made.attributes |= {"bucket": str(target.get("bucketName") or Todo("the name of the bucket", "x"))}
    made.attributes |= _folder(made, target.get("path"))
    if "s3Role" in given:
        made.attributes["role_arn"] = str(given["s3Role"])
        made.notes.append(
            "the role trusts the account of the original; let it trust yours, whose credentials come from where AWS clients look "
            "for them"
        )
    else:
        made.attributes |= {name: _secret(made, name) for name in ("access_key_id", "secret_access_key")}
    made.notes.append(
        "the region is not in the original; add region where the bucket is not in the one of your credentials"
    )
    return frozenset({"s3AccessKey", "s3SecretKey", "s3Role", "bucketName", "path"})


def _azure_blob(made: Imported, given: Body, target: Body) -> frozenset[str]:
    made.attributes |= {"container": str(target.get("container") or Todo("the name of the container", "x"))}
    made.attributes |= _folder(made, target.get("path"))
    made.attributes["connection_string"] = _secret(made, "connection_string")
    return frozenset({"connectionString", "container", "path"})


def _adls_gen2(made: Imported, given: Body, target: Body) -> frozenset[str]:
    found = re.fullmatch(r"abfss://([^@/]+)@([^./]+)\.dfs\.core\.windows\.net/?(.*)", str(given.get("url", "")))
    if found is None:
        made.notes.append(
            "the URL of the account is not abfss://CONTAINER@ACCOUNT.dfs.core.windows.net, so it is left to be written"
        )
    made.attributes |= {
        "account": found[2] if found else Todo("the name of the storage account", "xxx"),
        "filesystem": found[1] if found else Todo("the name of the file system", "x"),
    }
    inside = "/".join(part.strip("/") for part in (found[3] if found else "", str(target.get("path") or "")) if part)
    made.attributes |= _folder(made, inside)
    made.attributes |= {
        "tenant_id": str(given.get("tenant") or Todo("the tenant of the service principal", "x")),
        "client_id": str(given.get("servicePrincipalId") or Todo("the id of the service principal", "x")),
        "client_secret": _secret(made, "client_secret"),
    }
    return frozenset({"url", "servicePrincipalId", "servicePrincipalKey", "tenant", "path"})


def _data_landing_zone(made: Imported, given: Body, target: Body) -> frozenset[str]:
    made.attributes |= _folder(made, target.get("path"))
    made.attributes["sas_uri"] = _secret(made, "sas_uri")
    made.notes.append(
        "the original provides the container and renews its SAS itself; here its SAS URI comes from the variable, or from a "
        "refresh_command"
    )
    return frozenset({"path"})


def _google_cloud_storage(made: Imported, given: Body, target: Body) -> frozenset[str]:
    made.attributes |= {"bucket": str(target.get("bucketName") or Todo("the name of the bucket", "x"))}
    made.attributes |= _folder(made, target.get("path"))
    made.attributes |= {name: _secret(made, name) for name in ("hmac_access_id", "hmac_secret")}
    return frozenset({"accessKeyId", "secretAccessKey", "bucketName", "path"})


def _sftp(made: Imported, given: Body, target: Body) -> frozenset[str]:
    made.attributes["host"] = str(given.get("domain") or given.get("host") or Todo("the name of the server", "x"))
    if str(given.get("port", 22)) != "22":
        made.attributes["port"] = int(given["port"])
    made.attributes["username"] = str(
        given.get("username") or given.get("userName") or Todo("the name of the account", "x")
    )
    # Relative ones start where logins of the account do; a path of the original is one of the server.
    made.attributes |= {"folder": str(target["remotePath"])} if target.get("remotePath") else {}
    if "sshKey" in given:
        made.attributes["private_key"] = _secret(made, "private_key")
        made.notes.append("the original keeps the private key in base64; the variable takes the decoded key")
    else:
        made.attributes["password"] = _secret(made, "password")
    made.attributes["host_key_fingerprint"] = Todo(
        "SHA256:… of the server's host key, which is always verified here; `ssh-keyscan HOST | ssh-keygen -lf -` prints it, "
        "compare it with what the owner of the server says",
        "SHA256:" + "A" * 43,
    )
    made.notes.append("the original does not verify the server's host key; here its fingerprint has to be written")
    return frozenset({"domain", "host", "port", "username", "userName", "password", "sshKey", "remotePath"})


PLACES: Mapping[str, Callable[[Imported, Body, Body], frozenset[str]]] = {
    "amazon_s3": _amazon_s3,
    "azure_blob": _azure_blob,
    "adls_gen2": _adls_gen2,
    "data_landing_zone": _data_landing_zone,
    "google_cloud_storage": _google_cloud_storage,
    "sftp": _sftp,
}
"""Our type to what writes its attributes and returns the parameters that it knows."""


def _files(made: Imported, target: Piece) -> dict[str, Any]:
    form, compression = target.params.get("datasetFileType", "PARQUET"), target.params.get("compression", "NONE")
    for key, value, known in (("datasetFileType", form, FORMATS), ("compression", compression, COMPRESSIONS)):
        if value not in known:
            raise ConfigError(f"{target.place}: {key} is {value!r}; of datasets it is one of {', '.join(known)}")
    files: dict[str, Any] = {"format": FORMATS[form], "compression": COMPRESSIONS[compression]}
    if files == {"format": "json", "compression": "none"}:
        made.notes.append(
            "JSON is always compressed, also by the original, whatever its samples say: compression is gzip"
        )
        files["compression"] = "gzip"
    if "includeFileManifest" in target.params:
        return files | {"manifest": bool(target.params["includeFileManifest"])}
    made.notes.append("a manifest is written with every export, by default; manifest: false keeps it from readers")
    return files


def _encryption(made: Imported, specs: Any) -> dict[str, Any]:
    params: Body = specs.get("params") or {} if isinstance(specs, dict) else {}
    if not params or params.get("encryptionAlgo") == "NONE":
        return {}
    made.notes.append("names of encrypted files end in .gpg here")
    key = _armored(str(params.get("publicKey") or ""))
    if key is None:
        made.notes.append(
            "the public key is none of OpenPGP that can encrypt; a key in plain RSA form has no equivalent"
        )
        return {"pgp_public_key": Todo(NO_KEY, "")}
    return {"pgp_public_key": key}


def _armored(written: str) -> str | None:
    """An OpenPGP public key as an armored block; None when it is none, or cannot encrypt. The original takes it in base64."""
    from dataset_export.encoding.openpgp_keys import read_recipients

    block = written
    if "-----BEGIN" not in written:
        try:
            data = base64.b64decode(written, validate=True)
        except binascii.Error:
            return None
        block = data.decode(errors="replace")
        if "-----BEGIN" not in block:
            body = "\n".join(re.findall(r".{1,64}", base64.b64encode(data).decode()))
            block = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}\n-----END PGP PUBLIC KEY BLOCK-----\n"
    try:
        read_recipients([block.encode()], now=datetime.now(UTC))
    except ConfigError:
        return None
    return block
