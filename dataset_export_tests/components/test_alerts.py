"""Alert channels and who hears what, as a person declares it."""

from datetime import timedelta
from pathlib import Path

import pytest

from dataset_export.alerts.alert import DEFAULT_EVENTS, AlertRules, Event, Route
from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export.orchestration.alerts import ALERTS_SENSOR
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.components.projects import BASE, document, write_project

CHANNELS = """
    type: dataset_export.components.AlertChannel
    attributes: {id: ops, url: {env: OPS_URL}, description: The night shift.}
    ---
    type: dataset_export.components.AlertChannel
    attributes: {id: boss, url: {file: secrets/boss}}
"""
FLOW = "name: flow\ndatasets: [flights]\ndestination: partner\nschedule: {frequency: daily, start: 2026-11-02}\n"
LITERAL = "slack://T0k3n/of-the/web-hook"


def project(folder: Path, **files: str) -> Path:
    return write_project(folder, base=BASE, channels=CHANNELS, **files)


def load(folder: Path, **files: str) -> Catalog:
    return load_catalog(folder, project(folder, **files))


def test_channels(tmp_path: Path) -> None:
    channels = load(tmp_path).channels
    assert channels["ops"].url == SecretRef(env="OPS_URL")
    assert channels["ops"].description == "The night shift."
    assert channels["boss"].url == SecretRef(file=str(tmp_path / "secrets/boss"))


def test_s8_alerts_are_chosen_per_dataflow(tmp_path: Path) -> None:
    written = (
        "alerts:\n  late_after_minutes: 90\n  to:\n    - channel: ops\n    - {channel: boss, events: [failed, ended]}\n"
    )
    catalog = load(tmp_path, flow=document("Dataflow", FLOW + written))
    rules = AlertRules((Route("ops"), Route("boss", (Event.FAILED, Event.ENDED))), timedelta(minutes=90))
    assert catalog.alert_rules == {"flow": rules}
    assert [(one.dataflow.name, one.rules) for one in catalog.watched] == [("flow", rules)]
    assert rules.routes[0].events == DEFAULT_EVENTS


def test_a_dataflow_that_says_nothing_takes_what_the_organization_says(tmp_path: Path) -> None:
    organization = document("Organization", "name: Acme\nalerts: {to: [{channel: boss}]}")
    silent = document("Dataflow", FLOW.replace("name: flow", "name: silent") + "alerts: {to: []}")
    catalog = load(tmp_path, organization=organization, flow=document("Dataflow", FLOW), silent=silent)
    assert catalog.alert_rules == {"flow": AlertRules((Route("boss"),)), "silent": AlertRules()}


def test_without_any_word_nobody_hears_anything(tmp_path: Path) -> None:
    assert load(tmp_path, flow=document("Dataflow", FLOW)).alert_rules == {"flow": AlertRules()}


def test_the_sensor_is_there_when_a_channel_is(tmp_path: Path) -> None:
    with_channels = load_definitions(tmp_path / "a", project(tmp_path / "a", flow=document("Dataflow", FLOW)))
    assert ALERTS_SENSOR in [sensor.name for sensor in with_channels.sensors or []]
    without = write_project(tmp_path / "b", base=BASE, flow=document("Dataflow", FLOW))
    assert ALERTS_SENSOR not in [sensor.name for sensor in load_definitions(tmp_path / "b", without).sensors or []]


WRONG = {
    "a literal url": ("AlertChannel", f"id: lab\nurl: {LITERAL}", 4, "url: a secret is never written here"),
    "a url by template": (
        "AlertChannel",
        'id: lab\nurl: "{{ env.OPS_URL }}"',
        4,
        "url: a secret is never written here",
    ),
    "no url": ("AlertChannel", "id: lab", 2, "'url' is missing; add it"),
    "a malformed reference": ("AlertChannel", f"id: lab\nurl: {{env: '{LITERAL}'}}", 4, "'env' takes the NAME"),
    "a name that is none": ("AlertChannel", "id: my lab\nurl: {env: A}", 3, "the channel id 'my lab'"),
    "a channel twice": ("AlertChannel", "id: ops\nurl: {env: A}", 3, "there is a channel 'ops' already, at "),
    "an unknown key": ("AlertChannel", "id: lab\nurl: {env: A}\nlevel: 3", 5, "keys here are id, url, description"),
    "no such channel": (
        "Dataflow",
        FLOW + "alerts:\n  to:\n    - channel: ops\n    - channel: opps",
        10,
        "there is no alert channel 'opps'; there are boss, ops",
    ),
    "no such channel in the organization": (
        "Organization",
        "name: Acme\nalerts:\n  to: [{channel: opps}]",
        5,
        "there is no alert channel 'opps'",
    ),
    "no such event": (
        "Dataflow",
        FLOW + "alerts:\n  to:\n    - channel: ops\n      events: [failed, finished]",
        10,
        "'started', 'succeeded', 'failed', 'late', 'excluded_rows'",
    ),
    "no event": ("Dataflow", FLOW + "alerts:\n  to: [{channel: ops, events: []}]", 8, "name at least one"),
    "nobody named": ("Dataflow", FLOW + "alerts: {late_after_minutes: 5}", 7, "'alerts.to' is missing; add it"),
    "late at once": (
        "Dataflow",
        FLOW + "alerts: {to: [], late_after_minutes: 0}",
        7,
        "has to be at least 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_s8_a_wrong_channel_is_refused_at_load(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", LITERAL)
    component, attributes, line, said = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, wrong=document(component, attributes))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/defs/wrong/defs.yaml:{line}: "), message
    assert said in message
    assert "T0k3n" not in message
