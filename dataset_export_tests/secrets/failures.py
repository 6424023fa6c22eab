"""Everything that goes wrong with the planted secrets: servers that refuse, are not there, or repeat what they were sent."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataset_export_tests.secrets.ways import Servers, Way
from dataset_export_tests.servers.echo import Echo, Style, running_echo, running_ssh_echo
from dataset_export_tests.servers.weed import free_ports

STYLES = {
    "": Style.S3,
    "amazon_s3": Style.S3,
    "google_cloud_storage": Style.S3,
    "azure_blob": Style.AZURE_BLOB,
    "data_landing_zone": Style.AZURE_BLOB,
    "adls_gen2": Style.DATA_LAKE,
}
"""How the service of each type writes its errors; Google's XML API does as S3 does."""

WRONG = ("wrong", "malformed", "missing", "unreachable")
ECHOES = ("echo", "echo of a gateway", "echo of the authority")
FAILURES = (*WRONG, *ECHOES)


@dataclass(frozen=True)
class Failing:
    """Ways that all fail, the variables that they need in the environment, and the servers that repeat what they get."""

    datasets: list[Way]
    destinations: list[Way]
    environment: dict[str, str]
    echoes: list[Echo] = field(default_factory=list[Echo])

    @property
    def seen(self) -> set[str]:
        """What was sent to prove who is there: signatures and tokens that were made of the secrets."""
        return {one for echo in self.echoes for one in echo.credentials}


def environment_of(authority: int, *ca_bundles: str, folder: Path) -> dict[str, str]:
    """Where service principals sign in, at a port of 127.0.0.1, and which authorities of certificates are trusted."""
    bundle = folder / "authorities.pem"
    bundle.write_text("".join(Path(one).read_text() for one in ca_bundles))
    return {"AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{authority}", "REQUESTS_CA_BUNDLE": str(bundle)}


@contextmanager
def failing(what: str, servers: Servers, folder: Path, *, status: int = 403) -> Iterator[Failing]:
    """All ways, failing as `what` says. `status` is what servers that repeat everything answer with."""
    datasets = servers.datasets()
    destinations = [way for way in (*servers.destinations(), *servers.failing()) if way.secrets]
    with ExitStack() as stack:
        if what in WRONG:
            environment = environment_of(servers.tls_lake.port, servers.tls_lake.ca_bundle, folder=folder)
            yield Failing([_failing(what, way) for way in datasets], _each(what, destinations), environment)
            return
        if what == "echo of the authority":
            authority = stack.enter_context(running_echo(Style.OAUTH, status=400, tls=True))
            bundles = (servers.tls_lake.ca_bundle, authority.ca_bundle)
            environment = environment_of(authority.port, *bundles, folder=folder)
            by_token = [_issued_by(authority.endpoint, way) for way in destinations if way.id in TOKENS]
            yield Failing([], by_token, environment, [authority])
            return
        plain = what == "echo of a gateway"
        styles = {style: Style.TEXT if plain else style for style in set(STYLES.values())}
        echoes = {style: stack.enter_context(running_echo(said, status=status)) for style, said in styles.items()}
        secure = stack.enter_context(running_echo(styles[Style.DATA_LAKE], status=status, tls=True))
        bundles = (servers.tls_lake.ca_bundle, secure.ca_bundle)
        ssh = stack.enter_context(running_ssh_echo())
        at_ssh = {"port": ssh.port, "host_key_fingerprint": ssh.fingerprint}
        yield Failing(
            [way.at(echoes[Style.S3].endpoint) for way in datasets],
            [
                way.at((secure if way.id in PRINCIPALS else echoes[STYLES[way.type]]).endpoint)
                if way.endpoint
                else replace(way, fields={**way.fields, **at_ssh})
                for way in destinations
            ],
            environment_of(servers.tls_lake.port, *bundles, folder=folder),
            [*echoes.values(), secure],
        )


PRINCIPALS = ("lake_principal", "blob_principal")
"""Ways whose tokens are sent over TLS only."""
TOKENS = (*PRINCIPALS, "gcs_account")
"""Ways whose secret is exchanged for a token first."""


def _each(what: str, ways: list[Way]) -> list[Way]:
    return [_failing(what, way) for way in ways if what in {"wrong", "malformed"} or _can(what, way)]


def _can(what: str, way: Way) -> bool:
    return bool(way.container if what == "missing" else way.endpoint)


def _failing(what: str, way: Way) -> Way:
    match what:
        case "wrong":
            return way.with_wrong_secrets()
        case "malformed":
            return way.with_malformed_secrets()
        case "missing":
            return way.without_container()
        case _:
            [port] = free_ports(1)
            scheme = "https" if way.id in PRINCIPALS else "http"
            return way.at(f"{scheme}://127.0.0.1:{port}")


def _issued_by(endpoint: str, way: Way) -> Way:
    key = way.secrets.get("service_account_key")
    if key is None:
        return way
    return replace(
        way, secrets={"service_account_key": json.dumps({**json.loads(key), "token_uri": f"{endpoint}/token"})}
    )
