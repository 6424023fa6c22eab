"""What only a data landing zone has: a SAS URI that expires and is renewed."""

import logging
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataset_export.destinations import data_landing_zone_sas
from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination
from dataset_export.destinations.data_landing_zone_sas import parsed
from dataset_export.destinations.policy import Operation
from dataset_export.errors import AccessDenied, ConfigError
from dataset_export_tests.servers.azurite import Azurite

EXPIRED = timedelta(minutes=-1)
SOON = timedelta(minutes=2)
LATER = timedelta(hours=1)


@pytest.fixture
def container(azurite: Azurite) -> str:
    return azurite.create_container()


def uri(azurite: Azurite, container: str, lasts: timedelta) -> str:
    return f"{azurite.endpoint}/{container}?{azurite.sas(container, lasts=lasts)}"


def zone(file: Path | None = None, *, command: list[str] | None = None) -> DataLandingZoneDestination:
    reference = f"{{file: {file}}}" if file else None
    return DataLandingZoneDestination(sas_uri=reference, refresh_command=command or [], allow_insecure=True)


def printing(file: Path, *, ran: Path) -> list[str]:
    """A command that prints what is in `file`, and a line into `ran` each time."""
    code = "import sys; open(sys.argv[2], 'a').write('x'); print(open(sys.argv[1]).read())"
    return [sys.executable, "-c", code, str(file), str(ran)]


def deliver(store: Any, path: str) -> None:
    with store.stage(path) as upload:
        upload.write(b"rows")
    store.confirm(upload.staged)
    store.publish(upload.staged)


class TestRefresh:
    def test_command_runs_once_while_the_old_one_works(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        file, ran = tmp_path / "sas", tmp_path / "ran"
        file.write_text(uri(azurite, container, SOON))
        store = zone(
            file, command=[sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(1)", str(ran)]
        ).store()
        deliver(store, "file")
        assert ran.read_text() == "x"

    def test_file_is_read_again_near_expiry(
        self, azurite: Azurite, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_landing_zone_sas, "EARLY_SECONDS", 0)
        file = tmp_path / "sas"
        file.write_text(uri(azurite, container, SOON))
        store = zone(file).store()
        with store.stage("file") as upload:
            upload.write(b"rows")
            file.write_text(uri(azurite, container, LATER))
        store.confirm(upload.staged)
        store.publish(upload.staged)
        client: Any = store._calls._source  # type: ignore[attr-defined]
        assert not client._sas.ends_within(timedelta(minutes=30))

    def test_near_expiry_without_a_new_one_goes_on(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        (tmp_path / "sas").write_text(uri(azurite, container, SOON))
        deliver(zone(tmp_path / "sas").store(), "file")

    def test_expired_says_when_and_what_to_do(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        (tmp_path / "sas").write_text(uri(azurite, container, EXPIRED))
        with pytest.raises(AccessDenied, match=rf"{container} expired at \d.*refresh_command") as caught:
            zone(tmp_path / "sas").store().check()
        assert "sig=" not in "".join(traceback.format_exception(caught.value))

    def test_refused_by_the_service_is_read_again(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        """Revoked before it expires, in the middle of a file."""
        file = tmp_path / "sas"
        good = uri(azurite, container, LATER)
        file.write_text(good.replace("sig=", "sig=AAAA"))
        store = zone(file).store()
        with pytest.raises(AccessDenied):
            store.check()
        file.write_text(good)
        deliver(store, "file")

    def test_command_at_first_and_near_expiry(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        file, ran = tmp_path / "sas", tmp_path / "ran"
        file.write_text(uri(azurite, container, LATER))
        store = zone(command=printing(file, ran=ran)).store()
        deliver(store, "file")
        assert ran.read_text() == "x"

    def test_command_renews_an_expired_file(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        old, new, ran = tmp_path / "old", tmp_path / "new", tmp_path / "ran"
        old.write_text(uri(azurite, container, EXPIRED))
        new.write_text(uri(azurite, container, LATER))
        deliver(zone(old, command=printing(new, ran=ran)).store(), "file")
        assert ran.read_text() == "x"

    def test_command_that_fails(self, tmp_path: Path) -> None:
        code = "import sys; print('sig=hunter2'); sys.exit('sig=hunter2')"
        with pytest.raises(AccessDenied, match=r"exit code 1.*by hand") as caught:
            zone(command=[sys.executable, "-c", code]).store().check()
        assert "hunter2" not in str(caught.value)

    def test_missing_command(self) -> None:
        with pytest.raises(ConfigError, match="no-such-program"):
            zone(command=["no-such-program"]).store().check()

    def test_sas_of_another_container(
        self, azurite: Azurite, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_landing_zone_sas, "EARLY_SECONDS", 0)
        file = tmp_path / "sas"
        file.write_text(uri(azurite, container, SOON))
        store = zone(file).store()
        other = uri(azurite, azurite.create_container(), LATER)
        store.check()
        file.write_text(other)
        with pytest.raises(ConfigError, match=f"not of .*{container}"):
            store.check()


class TestUri:
    @pytest.mark.parametrize(
        "text",
        ["", "hunter2", "https://x.example/?sig=hunter2", "https://x.example/c?sp=hunter2", "ftp://x/c?sig=hunter2"],
    )
    def test_no_sas_uri(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "sas").write_text(text)
        with pytest.raises(ConfigError) as caught:
            zone(tmp_path / "sas").store().check()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_without_tls(self, tmp_path: Path) -> None:
        (tmp_path / "sas").write_text("http://127.0.0.1:1/account/container?sig=x")
        with pytest.raises(ConfigError, match="allow_insecure"):
            DataLandingZoneDestination(sas_uri=f"{{file: {tmp_path / 'sas'}}}").store().check()

    def test_neither_uri_nor_command(self) -> None:
        with pytest.raises(ConfigError, match="refresh_command"):
            DataLandingZoneDestination().build_store()

    def test_address_shows_no_signature(self, azurite: Azurite, container: str, tmp_path: Path) -> None:
        (tmp_path / "sas").write_text(uri(azurite, container, LATER))
        assert zone(tmp_path / "sas").store().uri("a/b") == f"{azurite.endpoint}/{container}/a/b"

    @pytest.mark.parametrize("written", ["2026-11-24T10%3A00%3A00Z", "2026-11-24T10%3A00Z", "2026-11-24"])
    def test_expiry_as_the_service_writes_it(self, written: str) -> None:
        expires = parsed(f"https://x.blob.core.windows.net/c?se={written}&sig=x").expires
        assert expires is not None
        assert expires.utcoffset() == timedelta(0)
        assert expires.date().isoformat() == "2026-11-24"

    def test_no_signature_in_logs(
        self, azurite: Azurite, container: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        text = uri(azurite, container, SOON)
        (tmp_path / "sas").write_text(text)
        deliver(zone(tmp_path / "sas").store(), "file")
        assert container in caplog.text
        assert text.rpartition("sig=")[2][:20] not in caplog.text


def test_policy_covers_every_operation() -> None:
    policy = zone(command=["x"]).policy()
    assert set(policy.permissions) == set(Operation)
    assert policy.document == "sp=rwdl&sr=c"


def test_files_live_seven_days() -> None:
    assert DataLandingZoneDestination.files_expire_after == timedelta(days=7)


def test_every_field_is_described() -> None:
    assert [name for name, field in DataLandingZoneDestination.model_fields.items() if not field.description] == []
