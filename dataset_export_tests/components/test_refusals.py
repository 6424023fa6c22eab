"""Everything wrong that a person may write: refused with file, line, what is wrong and the way out."""

from pathlib import Path

import pytest

from dataset_export.components.catalog import load_catalog
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export_tests.components.projects import BASE, document, write_project

SECRET = "hunter2-hunter2"  # never to be repeated

DAILY = "schedule: {frequency: daily, start: 2026-11-02}"
FLOW = f"name: flow\ndatasets: [flights]\ndestination: partner\n{DAILY}\n"
BUCKET = "id: lab\ntype: amazon_s3\nbucket: b\n"
TABLE = "id: planes\nbehavior: record\nlocation: x\n"

# component, attributes (the first is in line 3), line to be named, what the message says
WRONG = {
    "unknown key": ("Dataset", TABLE + "ownerz: [a]", 6, "the key 'ownerz' is not known; keys here are id, name,"),
    "unknown key inside": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule:\n  frequency: daily\n  start: 2026-11-02\n  hour: 2",
        9,
        "the key 'schedule.hour' is not known; keys here are frequency, start",
    ),
    "unknown key of a variant": (
        "Destination",
        "id: lab\ntype: local\nfolder: x\nbucket: b",
        6,
        "the key 'bucket' is not known; keys here are id",
    ),
    "missing key": ("Destination", "id: lab\ntype: local", 2, "'folder' is missing; add it"),
    "wrong behavior": ("Dataset", "id: a\nbehavior: rekord\nlocation: x", 4, "'time_series' or 'record'"),
    "wrong type of destination": ("Destination", "id: lab\ntype: ftp", 4, "type is 'ftp'; it has to be one of local, "),
    "no type of destination": ("Destination", "id: lab\nfolder: x", 2, "'type' is missing; it is one of local, amazon"),
    "wrong frequency": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule:\n  frequency: weekly\n  start: 2026-11-02",
        7,
        "'once', 'daily', 'hourly' or 'cron'",
    ),
    "wrong mode": ("Dataflow", FLOW + "mode: delta", 7, "'incremental' or 'full'"),
    "no path of a column": (
        "Dataflow",
        FLOW + "columns:\n  exclude:\n    - a\n    - b..c",
        10,
        "'b..c' is no path of a",
    ),
    "a column in and out": ("Dataflow", FLOW + "columns: {include: [a], exclude: [a]}", 7, "take one of them out"),
    "columns of a dataset that contradict": (
        "Dataflow",
        FLOW + "columns:\n  exclude: [a]\n  datasets:\n    flights: {exclude: [b, b]}",
        10,
        "exclude names b twice",
    ),
    "columns of another dataset": (
        "Dataflow",
        FLOW + "columns:\n  datasets:\n    events: {exclude: [b]}",
        9,
        "this dataflow does not export 'events'; it exports flights",
    ),
    "hash without salt": ("Dataflow", FLOW + "columns: {hash: [a]}", 7, "hash needs a salt; write {env: NAME}"),
    "literal salt": (
        "Dataflow",
        FLOW + f"columns:\n  hash: [a]\n  salt: {SECRET}",
        9,
        "columns.salt: a secret is never written here",
    ),
    "salt by template": (
        "Dataflow",
        FLOW + 'columns:\n  hash: [a]\n  salt: "{{ env.LAB_SECRET }}"',
        9,
        "nor rendered by a template",
    ),
    "a column hashed and masked": (
        "Dataflow",
        FLOW + "columns: {hash: [a], salt: {env: S}, mask: {a: null}}",
        7,
        "hash names a, and mask a; take one of them out",
    ),
    "no path to mask": ("Dataflow", FLOW + "columns:\n  mask:\n    a..b: x", 9, "'a..b' is no path of a column"),
    "no column included": ("Dataflow", FLOW + "columns: {include: []}", 7, "name at least one"),
    "unknown key of columns": (
        "Dataflow",
        FLOW + "columns:\n  omit: [a]",
        8,
        "the key 'columns.omit' is not known; keys",
    ),
    "wrong schema contract": ("Dataflow", FLOW + "on_schema_change: ignore", 7, "'evolve', 'notify' or 'fail'"),
    "no such dataset": (
        "Dataflow",
        f"name: f\ndatasets:\n  - flights\n  - fligths\ndestination: partner\n{DAILY}",
        6,
        "there is no dataset 'fligths'; there are events, flights",
    ),
    "no such destination": (
        "Dataflow",
        f"name: f\ndatasets: [flights]\ndestination: partnr\n{DAILY}",
        5,
        "there is no destination 'partnr'; there are partner",
    ),
    "no dataset": (
        "Dataflow",
        f"name: f\ndatasets: []\ndestination: partner\n{DAILY}",
        4,
        "nothing is named here; name at least one",
    ),
    "a dataset twice": (
        "Dataflow",
        f"name: f\ndatasets: [flights, flights]\ndestination: partner\n{DAILY}",
        4,
        "names a dataset twice",
    ),
    "json without gzip": ("Dataflow", FLOW + "format: json\ncompression: none", 8, "set compression to gzip"),
    "json without gzip at a destination": (
        "Destination",
        "id: lab\ntype: local\nfolder: x\nformat: json\ncompression: zstd",
        7,
        "set compression to gzip",
    ),
    "hourly in odd steps": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule:\n  frequency: hourly\n  start: 2026-11-02\n  every_hours: 5",
        9,
        "every 3, 6, 8 or 12 hours",
    ),
    "bad cron": (
        "Dataflow",
        'name: f\ndatasets: [flights]\ndestination: partner\nschedule: {frequency: cron, start: 2026-11-02, cron: "61 * * * *"}',
        6,
        "is not valid",
    ),
    "bad start": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule:\n  frequency: daily\n  start: tomorrow",
        8,
        "'tomorrow' is no time; write 2026-11-02",
    ),
    "unquoted time of day": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule:\n  frequency: daily\n  start: 2026-11-02\n  at: 12:00",
        9,
        "schedule.at: YAML read this as a number; put it in quotes",
    ),
    "end before start": (
        "Dataflow",
        "name: f\ndatasets: [flights]\ndestination: partner\nschedule: {frequency: daily, start: 2026-11-02, end: 2026-11-01}",
        6,
        "is not after start",
    ),
    "unknown macro": ("Dataflow", FLOW + 'folder: "%DATASET%/x"', 7, "there is no macro %DATASET%; macros are"),
    "folder that leaves": ("Dataflow", FLOW + 'folder: "../x"', 7, r"\.\."),
    "unknown macro of manifests": (
        "Destination",
        'id: lab\ntype: local\nfolder: x\nmanifest_folder: "%X%"',
        6,
        "there is no macro %X%",
    ),
    "bad name of a dataflow": (
        "Dataflow",
        f"name: my-flow\ndatasets: [flights]\ndestination: partner\n{DAILY}",
        3,
        "starts with a letter",
    ),
    "bad id of a dataset": ("Dataset", "id: a/b\nbehavior: record\nlocation: x", 3, "an id starts with"),
    "bad owner": ("Dataset", TABLE + "owners: [bob]", 6, "write team:NAME or an e-mail"),
    "events without their time": (
        "Dataset",
        "id: a\nbehavior: time_series\nlocation: x",
        4,
        "names its timestamp_column",
    ),
    "no lookback": ("Dataset", TABLE + "lookback_days: 0", 6, "has to be at least 1"),
    "another URL": ("Dataset", "id: a\nbehavior: record\nlocation: gs://b/x", 5, "gs:// is not read"),
    "URL of a local destination": ("Destination", "id: lab\ntype: local\nfolder: s3://b/x", 5, "takes a path"),
    "no TLS": ("Destination", BUCKET + "endpoint_url: http://x", 6, "use https, or write out allow_insecure"),
    "no exports at once": (
        "Destination",
        BUCKET + "max_concurrent_exports: 0",
        6,
        "has to be at least 1",
    ),
    "half of the keys": ("Destination", BUCKET + "access_key_id: {env: A}", 6, "belong together; give both or none"),
    "keys and a profile": (
        "Destination",
        BUCKET + "access_key_id: {env: A}\nsecret_access_key: {env: B}\nprofile: p",
        8,
        "either a profile or keys",
    ),
    "folder of a bucket that leaves": ("Destination", BUCKET + "folder: ../x", 6, r"\.\."),
    "literal secret": ("Destination", BUCKET + f"secret_access_key: {SECRET}", 6, "write {env: NAME} or {file: PATH}"),
    "secret by template": (
        "Destination",
        BUCKET + 'secret_access_key: "{{ env.LAB_SECRET }}"',
        6,
        "nor rendered by a template",
    ),
    "template in a reference": (
        "Destination",
        BUCKET + 'secret_access_key: {env: "{{ env.LAB_SECRET }}"}',
        6,
        "without templates",
    ),
    "value for a name": ("Destination", BUCKET + f"secret_access_key: {{env: {SECRET}}}", 6, "NAME of an environment"),
    "two references": ("Destination", BUCKET + "secret_access_key: {env: A, file: B}", 6, "no reference to a secret"),
    "literal secret of the lake": (
        "Dataset",
        TABLE + f"storage_options:\n  AWS_REGION: x\n  AWS_SECRET_ACCESS_KEY: {SECRET}",
        8,
        "AWS_SECRET_ACCESS_KEY is a secret",
    ),
    "secret of the lake by template": (
        "Dataset",
        TABLE + 'storage_options: {azure_storage_sas_key: "{{ env.LAB_SECRET }}"}',
        6,
        "azure_storage_sas_key is a secret",
    ),
    "password in a URL": (
        "Dataset",
        TABLE + f"storage_options: {{AWS_ENDPOINT_URL: 'https://u:{SECRET}@x'}}",
        6,
        "a password stands in this URL",
    ),
    "variable that is not set": (
        "Dataset",
        'id: a\nbehavior: record\nlocation: "{{ env.NOT_SET }}/x"',
        5,
        "is not set",
    ),
    "bad template": ("Dataset", 'id: a\nbehavior: record\nlocation: "{{ nope }}"', 5, "'nope' is undefined"),
}


@pytest.mark.parametrize(("component", "attributes", "line", "says"), WRONG.values(), ids=WRONG.keys())
def test_refused_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, component: str, attributes: str, line: int, says: str
) -> None:
    monkeypatch.setenv("LAB_SECRET", SECRET)
    defs = write_project(tmp_path, base=BASE, wrong=document(component, attributes))
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    message = str(refused.value)
    assert message.startswith(f"{defs}/wrong/defs.yaml:{line}: ")
    assert says.replace("\\", "") in message
    assert "\n" not in message
    assert SECRET not in message
    with pytest.raises(ConfigError) as in_dagster:
        load_definitions(defs_folder=defs)
    assert str(in_dagster.value) == message


DOCUMENTS = {
    "no YAML": ("type: a.b\nattributes: [1\nc: 2\n", 3, "this is not YAML"),
    "empty": ("", 1, "the file is empty"),
    "no mapping": ("- a\n", 1, "has the keys type and attributes"),
    "no type": ("attributes: {id: a}\n", 1, "'type' is missing"),
    "unknown key": ("type: dataset_export.components.Dataset\natributes: {}\n", 2, "the key 'atributes' is not known"),
    "unknown component": (
        "\ntype: dataset_export.components.Dataflw\n",
        2,
        "ours are dataset_export.components.AlertChannel, ",
    ),
    "no component": ("type: nonsense\n", 1, "there is no component 'nonsense'"),
    "attributes in a list": ("type: dataset_export.components.Dataset\nattributes: [a]\n", 2, "keys with values"),
}


@pytest.mark.parametrize(("text", "line", "says"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_documents_that_are_no_declarations(tmp_path: Path, text: str, line: int, says: str) -> None:
    defs = write_project(tmp_path, base=BASE)
    (defs / "wrong").mkdir()
    (defs / "wrong" / "defs.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    assert str(refused.value).startswith(f"{defs}/wrong/defs.yaml:{line}: ")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("component", "attributes", "what"),
    [
        ("Dataset", TABLE, "a dataset 'planes'"),
        ("Destination", "id: lab\ntype: local\nfolder: x", "a destination 'lab'"),
        ("Dataflow", FLOW, "a dataflow 'flow'"),
        ("Organization", "name: A", "an organization"),
    ],
)
def test_a_name_given_twice_names_both_places(tmp_path: Path, component: str, attributes: str, what: str) -> None:
    same = document(component, attributes)
    defs = write_project(tmp_path, base=BASE, one=same, two=same)
    for load in (load_catalog, load_definitions):
        with pytest.raises(ConfigError) as refused:
            load(defs_folder=defs)
        verb = "keep" if component == "Organization" else "rename"
        expected = f"{defs}/two/defs.yaml:3: there is {what} already, at {defs}/one/defs.yaml:3; {verb} one of the two"
        assert str(refused.value) == expected


def test_all_that_is_wrong_in_a_document_is_said_at_once(tmp_path: Path) -> None:
    defs = write_project(tmp_path, wrong=document("Dataset", "name: a\nbehavior: b\nlocaton: x"))
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    place = f"{defs}/wrong/defs.yaml"
    lines = str(refused.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == [f"{place}:2:", f"{place}:4:", f"{place}:5:"]


def test_the_right_document_of_several_is_named(tmp_path: Path) -> None:
    text = document("Dataset", TABLE) + "---\n" + document("Dataset", "id: a\nbehavior: b\nlocation: x")
    defs = write_project(tmp_path, wrong=text)
    with pytest.raises(ConfigError, match=r"defs\.yaml:10: behavior"):
        load_catalog(defs_folder=defs)


def test_a_defect_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dataset_export.components.dataset.DatasetValue", broken)
    defs = write_project(tmp_path, base=BASE)
    with pytest.raises(Exception, match="Error while loading component base") as raised:
        load_catalog(defs_folder=defs)
    assert not isinstance(raised.value, ConfigError)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_no_folder_and_no_declarations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; correct DATASET_EXPORT_DEFS"):
        load_catalog(defs_folder=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"nothing is declared in .*; write a defs\.yaml"):
        load_catalog(defs_folder=tmp_path)
