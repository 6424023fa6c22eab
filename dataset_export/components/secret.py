"""The secret as it is written in YAML: `{env: NAME}` or `{file: PATH}`, and nothing else (design: Security)."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import PlainValidator, WithJsonSchema

from dataset_export.components.source import Source
from dataset_export.secret_refs import SecretRef

_ADVICE = "put the secret in an environment variable or a file and write {env: NAME} or {file: PATH}"

REFERENCE_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"env": {"type": "string", "description": "Name of an environment variable."}},
            "required": ["env"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"file": {"type": "string", "description": "Path of a file that holds the secret."}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}


def secret_reference(written: object) -> SecretRef:
    """Read a reference. Its messages never repeat what was written, since that may be the secret.

    Raises:
        ValueError: for a literal, also one that templating produced, and for a malformed reference.
    """
    if not isinstance(written, Mapping):
        raise ValueError(f"a secret is never written here, nor rendered by a template; {_ADVICE}")
    reference = cast("Mapping[object, object]", written)
    if len(reference) != 1 or not set(reference) <= {"env", "file"}:
        raise ValueError(f"this is no reference to a secret; {_ADVICE}")
    [(kind, value)] = reference.items()
    if isinstance(value, str) and not value.strip():
        raise ValueError(f"'{kind}' names nothing; {_ADVICE}")
    if not isinstance(value, str) or "{" in value:
        raise ValueError(f"'{kind}' takes a plain text without templates; {_ADVICE}")
    if kind == "file":
        return SecretRef(file=value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"'env' takes the NAME of an environment variable, not its value; {_ADVICE}")
    return SecretRef(env=value)


SecretField = Annotated[SecretRef, PlainValidator(secret_reference), WithJsonSchema(REFERENCE_SCHEMA)]


def storage_option(written: object) -> str | SecretRef:
    """Read one storage option's value: a plain scalar as text, or a reference. Raises ValueError."""
    if isinstance(written, bool):
        return str(written).lower()
    if isinstance(written, str | int | float):
        return str(written)
    if not isinstance(written, Mapping):
        raise ValueError(
            "an option takes a text, a number, true or false, or a reference to a secret; write one of them"
        )
    return secret_reference(written)


StorageOption = Annotated[
    str | SecretRef,
    PlainValidator(storage_option),
    WithJsonSchema({"anyOf": [{"type": ["string", "boolean", "number"]}, *REFERENCE_SCHEMA["oneOf"]]}),
]


def names_a_secret(option: str) -> bool:
    """Whether a storage option of this name holds a secret. Ids of keys (`AWS_ACCESS_KEY_ID`) do not."""
    name = option.upper()
    if name.endswith("KEY_ID"):
        return False
    words = set(re.split(r"[^A-Z0-9]+", name))
    parts = ("SECRET", "TOKEN", "PASSWORD", "PASSPHRASE", "CREDENTIAL", "SIGNATURE", "CONNECTION_STRING")
    return bool(words & {"KEY", "SAS", "PWD"}) or any(part in name for part in (*parts, "ACCOUNT_KEY", "ACCESSKEY"))


def checked_option(option: str, value: str | SecretRef, source: Source, *path: str) -> str | SecretRef:
    """An option below `path`, with the file of a reference made absolute. Raises ConfigError for a secret written out."""
    if isinstance(value, SecretRef):
        return source.secret(value)
    if names_a_secret(option):
        raise source.error(
            f"{option} is a secret, and a secret is never written here; write {{env: NAME}} or {{file: PATH}}",
            *path,
            option,
        )
    source.refuse_password(value, *path, option)
    return value
