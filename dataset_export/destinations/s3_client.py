"""The S3 client of a destination: credentials, roles, trust and how the bucket is addressed.

It is made of botocore's own session, and not of the resource of dagster-aws, which has no roles, no certificate
authority of one's own and no address style, and which retries by itself. Credentials are looked for in the same places.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_export.destinations.library_logs import keep_secrets_out_of_logs
from dataset_export.errors import AccessDenied, ConfigError
from dataset_export.redaction import quoted
from dataset_export.secret_refs import revealed

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

POOL_CONNECTIONS = 32
"""Several files are staged at once, and each sends several parts."""


@dataclass(frozen=True)
class Access:
    """How a bucket is reached. Secrets are given as they are, or as the text of a reference to a file.

    Attributes:
        ca_bundle: PEM file of the certificate authorities to trust, instead of those of this machine.
        path_style: whether the bucket stands in the path of URLs (True) or in the host name (False); None: as botocore
            chooses for the endpoint.
    """

    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    role_session_name: str = "dataset_export"
    ca_bundle: str | None = None
    path_style: bool | None = None


def s3_client(access: Access) -> Any:
    """A botocore S3 client without retries of its own. Reads the secrets and does not reach the bucket.

    Raises:
        AccessDenied: when nothing is found that could assume the role.
        ConfigError: when a secret or the CA bundle cannot be read, or the profile does not exist.
    """
    from botocore.exceptions import BotoCoreError, NoCredentialsError

    keep_secrets_out_of_logs()
    try:
        session = _session(access.profile)
        key, secret = revealed(access.access_key_id), revealed(access.secret_access_key)
        if key is not None and secret is not None:
            session.set_credentials(key, secret, revealed(access.session_token))
        if access.role_arn is not None:
            source = session.get_credentials()
            if source is None:
                raise NoCredentialsError
            session = _session_of_role(access, access.role_arn, _creator(session, access), source)
        return _creator(session, access)("s3", endpoint_url=access.endpoint_url)
    except NoCredentialsError:
        raise AccessDenied(
            f"there are no credentials that could assume the role {access.role_arn}; set the access key id and the "
            "secret access key, or a profile"
        ) from None
    except BotoCoreError as error:
        raise ConfigError(
            f"no S3 client can be made: {quoted(error).rstrip('.')}; check the profile and region"
        ) from None


def _session(profile: str | None) -> "Session":
    from botocore.session import Session

    return Session(profile=profile) if profile else Session()


def _creator(session: "Session", access: Access) -> Callable[..., Any]:
    from botocore.config import Config

    # The SHA-256 of what we send is a header, which is signed: hashing the bytes again for the signature adds nothing.
    s3: dict[str, Any] = {"payload_signing_enabled": False}
    if access.path_style is not None:
        s3["addressing_style"] = "path" if access.path_style else "virtual"
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=POOL_CONNECTIONS, s3=s3)
    return partial(session.create_client, region_name=access.region, verify=_trust(access.ca_bundle), config=config)


def _trust(ca_bundle: str | None) -> str | None:
    import ssl

    if ca_bundle is None:
        return None
    try:
        ssl.create_default_context(cafile=str(Path(ca_bundle)))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"the ca_bundle {ca_bundle} cannot be used: {error.strerror or error}; name a PEM file of certificates"
        ) from error
    return ca_bundle


def _session_of_role(access: Access, role: str, creator: Callable[..., Any], source: "Credentials") -> "Session":
    """A session whose credentials are those of the role: fetched at the first request, and again before they expire,
    however long an export takes."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )

    arguments = {"RoleSessionName": access.role_session_name}
    if access.external_id is not None:
        arguments["ExternalId"] = access.external_id
    fetcher = AssumeRoleCredentialFetcher(creator, source, role, extra_args=arguments)

    class RoleProvider(CredentialProvider):
        METHOD = "assume-role"

        def load(self) -> Any:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    session = _session(access.profile)
    session.register_component("credential_provider", CredentialResolver([RoleProvider()]))
    return session
