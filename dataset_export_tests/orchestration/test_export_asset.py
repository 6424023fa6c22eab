"""The export as Dagster runs it: what a materialization shows, what is retried, what its checks see."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.destinations.policy import Policy
from dataset_export.errors import AccessDenied, TransientError
from dataset_export.export import shards
from dataset_export.export.columns import Columns
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.file_shape import FileShape
from dataset_export.export.manifest import Manifest, build_manifest
from dataset_export.export.schedule import format_export_time
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.orchestration import failures
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.export_asset import form_of
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export.orchestration.names import REPAIR_TAG, RESEND_TAG, SCHEDULED_TAG
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.export.exporter import (
    START,
    Exporter,
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.instances import new_instance
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.secrets.search import Written, files, leaks

KEY = dg.AssetKey(["hourly", "orders"])
LAKE = dg.AssetKey(["lake", "orders"])
CHECKS = ("files_match_manifest", "records_reconcile", "schema_unchanged")
Hook = Callable[[str, Any], None]


class WatchedStore:
    """A store that counts the calls to it and asks a hook before each, which may raise."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.hook: Hook = lambda name, argument: None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                self.calls[name] += 1
                self.hook(name, args[0] if args else None)
            return method(*args, **options)

        return call


STORES: dict[str, WatchedStore] = {}


class WatchedDestination(DestinationIOManager):
    """A local folder behind a `WatchedStore`, one for every folder."""

    folder: str

    def build_store(self) -> Any:
        return STORES.setdefault(self.folder, WatchedStore(LocalStore(Path(self.folder))))

    def policy(self) -> Policy:
        return LocalDestination(folder=self.folder).policy()


class World:
    """A table of three files, an hourly dataflow and a Dagster instance."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.folder = folder
        self.delta = DeltaBuilder(str(folder / "lake"))
        self.append(1, 2, 3)
        self.append(4)
        self.append(5, 6)
        self.destination = WatchedDestination(folder=str(folder / "delivered"))
        self.store = self.destination.store()
        exporter = Exporter(self.store, self.delta.uri)
        dataset = replace(exporter.dataset, owners=("team:lake",))
        self.flow = replace(exporter.dataflow, datasets=(dataset,), owners=("team:exports",))

    @property
    def watched(self) -> WatchedStore:
        return STORES[self.destination.folder]

    @property
    def definitions(self) -> dg.Definitions:
        return definitions(self.flow, self.destination)

    @property
    def job(self) -> dg.JobDefinition:
        return self.definitions.resolve_job_def("hourly")

    def append(self, *ids: int) -> None:
        self.delta.commit_time(self.delta.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))

    def widen(self) -> None:
        """A row with a column that the table did not have."""
        data = pa.table({"id": [7], "note": ["new"]})
        self.delta.commit_time(self.delta.write(data, schema_mode="merge"), datetime(2026, 10, 31, 12, tzinfo=UTC))

    def run(self, number: int = 0, *, resend: bool = False) -> dg.ExecuteInProcessResult:
        return self.job.execute_in_process(
            instance=self.instance,
            partition_key=at(number),
            tags={RESEND_TAG: "true"} if resend else None,
            raise_on_error=False,
        )

    def manifest(self) -> Manifest:
        [manifest] = self.manifests()
        return manifest

    def manifests(self) -> list[Manifest]:
        return live_manifests(self.store)

    def checks(self, number: int = 0) -> dict[str, dg.AssetCheckEvaluation]:
        """Only the checks, over what is delivered."""
        selection = dg.AssetSelection.checks_for_assets(KEY)
        job = dg.define_asset_job("checks", selection, executor_def=dg.in_process_executor)
        defs = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[job]))
        result = defs.resolve_job_def("checks").execute_in_process(
            instance=self.instance, tags={"dagster/partition": at(number)}, raise_on_error=False
        )
        return {one.check_name: one for one in result.get_asset_check_evaluations()}

    def failed_checks(self) -> set[str]:
        return {name for name, evaluation in self.checks().items() if not evaluation.passed}


def definitions(flow: Dataflow, destination: DestinationIOManager) -> dg.Definitions:
    shared = dg.Definitions(assets=[lake_asset(flow.datasets[0])], resources={flow.destination.id: destination})
    return dg.Definitions.merge(build_dataflow(flow), shared)


def at(number: int) -> str:
    return format_export_time(START + timedelta(hours=number))


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with new_instance() as instance:
        yield instance


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> World:
    instance.wipe_assets([KEY, LAKE])
    monkeypatch.setattr(shards, "SHARD_FILES", 1)
    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0.0)
    return World(tmp_path, instance)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


# What it shows


def test_s8_a_materialization_shows_counts_places_schema_and_lineage(world: World) -> None:
    result = world.run()
    assert result.success
    shown = metadata_of(result)
    manifest = world.manifest()
    assert shown["dagster/partition_row_count"] == shown["records"] == 6
    assert (shown["files"], shown["bytes"]) == (3, sum(file.bytes for file in manifest.files))
    assert shown["dagster/uri"] == world.store.uri("orders/exportTime=202611010800")
    assert shown["manifest"] == world.store.uri(manifest.path)
    assert shown["manifest_path"] == manifest.path
    assert shown["manifest_sha256"] == manifest.sha256
    assert shown["delivered_by_run"] == result.run_id
    assert shown["table_versions"] == {"from": None, "to": 2}
    assert [(column.name, column.type) for column in shown["dagster/column_schema"].columns] == [
        ("id", "int64"),
        ("name", "string"),
    ]
    lineage = shown["dagster/column_lineage"].deps_by_column
    assert lineage["id"] == [dg.TableColumnDep(asset_key=LAKE, column_name="id")]
    assert shown["records_excluded"] == 0
    assert shown["export_time"] == START.timestamp()
    assert shown["started_at"] <= shown["ended_at"]
    assert shown["adopted"] is False


def test_the_asset_carries_kinds_owners_and_its_upstream(world: World) -> None:
    spec = world.definitions.resolve_asset_graph().get(KEY)
    assert spec.kinds == {"parquet", "local"}
    assert spec.owners == ["team:exports"]
    assert spec.parent_keys == {LAKE}
    assert spec.group_name == "hourly"
    assert spec.code_version is not None


@pytest.mark.parametrize(
    ("owner", "owners"), [("team:web", ["team:web", "team:exports"]), ("exporter", ["team:exports"])]
)
def test_the_owner_is_shown_first_and_a_role_as_metadata(world: World, owner: str, owners: list[str]) -> None:
    world.flow = replace(world.flow, owner=owner)
    spec = world.definitions.resolve_asset_graph().get(KEY)
    assert spec.owners == owners
    assert spec.metadata["owner"] == owner


def test_a_run_observes_the_lake_dataset(world: World) -> None:
    result = world.run()
    [event] = result.get_asset_observation_events()
    observation = event.asset_observation_data.asset_observation
    assert observation.asset_key == LAKE
    assert {name: value.value for name, value in observation.metadata.items()} == {
        "version": 2,
        "dagster/row_count": 6,
    }


def test_all_checks_run_after_the_export_and_pass(world: World) -> None:
    evaluations = world.run().get_asset_check_evaluations()
    assert {(one.check_name, one.passed) for one in evaluations} == {(name, True) for name in CHECKS}
    assert {one.partition for one in evaluations} == {at(0)}


def test_s8_counts_are_those_of_each_export_time(world: World) -> None:
    assert metadata_of(world.run(0))["dagster/partition_row_count"] == 6
    world.append(7)
    shown = metadata_of(world.run(1))
    assert shown["dagster/partition_row_count"] == 1
    assert shown["table_versions"] == {"from": 2, "to": 3}


def test_an_empty_export_is_materialized_without_files(world: World) -> None:
    world.run(0)
    result = world.run(1)
    assert result.success
    shown = metadata_of(result)
    assert (shown["records"], shown["files"], shown["bytes"]) == (0, 0, 0)
    assert all(one.passed for one in result.get_asset_check_evaluations())


def test_the_form_of_its_files_is_told_in_words(world: World) -> None:
    columns = Columns(exclude=("id",), hash=("name",), salt=SecretRef(env="PARTNER_SALT"))
    assert form_of(world.flow, world.flow.datasets[0]) == "parquet, gzip"
    world.flow = replace(world.flow, columns={"orders": columns}, shape=FileShape(max_rows_per_file=7))
    assert form_of(world.flow, world.flow.datasets[0]) == (
        'parquet, gzip, exclude ["id"], hash ["name"], salt "{env: PARTNER_SALT}", maxRowsPerFile 7'
    )


# Which columns


def test_columns_that_are_left_out_are_shown(world: World) -> None:
    before = world.definitions.resolve_asset_graph().get(KEY).code_version
    world.flow = replace(world.flow, columns={"orders": Columns(exclude=("name",))})
    assert world.definitions.resolve_asset_graph().get(KEY).code_version != before
    result = world.run()
    assert result.success
    shown = metadata_of(result)
    assert shown["columns"] == world.manifest().document["columns"] == {"leftOut": ["name"], "hashed": [], "masked": []}
    assert [column.name for column in shown["dagster/column_schema"].columns] == ["id"]
    assert all(one.passed for one in result.get_asset_check_evaluations())


def test_a_salt_is_nowhere_to_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    salt = "zq7-correct-horse-battery-staple"
    monkeypatch.setenv("PARTNER_SALT", salt)
    columns = Columns(hash=("name",), salt=SecretRef(env="PARTNER_SALT"))
    world.flow = replace(world.flow, columns={"orders": columns})
    result = world.run()
    assert result.success
    assert metadata_of(result)["columns"]["hashed"] == ["name"]
    assert rows_by_manifest(world.store, "name")[hashlib.sha256(f"{salt}n1".encode()).hexdigest()] == 2
    spec = world.definitions.resolve_asset_graph().get(KEY)
    told = [Written("events", repr(result.all_events).encode()), Written("asset", repr(spec).encode())]
    assert leaks([*told, *files(world.folder), *files(Path(world.instance.root_directory))], [salt]) == []


def test_columns_that_are_not_there_fail_the_plan(world: World) -> None:
    world.flow = replace(world.flow, columns={"orders": Columns(include=("nmae",))})
    result = world.run()
    assert not result.success
    [event] = [event for event in result.all_events if event.is_step_failure]
    assert event.step_key.endswith("plan")
    failure = event.step_failure_data.user_failure_data
    assert "columns: include names nmae, and the table has no such column; it has id, name" in failure.description
    assert failure.metadata["error"].value == "ConfigError"
    assert list(world.store.list("")) == []


# When the columns of the table change


def test_a_changed_schema_is_shown_and_only_warned_of(world: World) -> None:
    first = world.run(0)
    assert "schema_change" not in metadata_of(first)
    world.widen()
    result = world.run(1)
    assert result.success
    assert metadata_of(result)["schema_change"] == world.manifests()[1].document["schemaChange"]
    evaluations = {one.check_name: one for one in result.get_asset_check_evaluations()}
    warning = evaluations["schema_unchanged"]
    assert not warning.passed
    assert warning.severity is dg.AssetCheckSeverity.WARN
    assert warning.description == "added: note (string)"
    assert all(one.passed for name, one in evaluations.items() if name != "schema_unchanged")
    assert all(one.passed for one in world.run(2).get_asset_check_evaluations())


def test_a_changed_schema_that_is_not_wanted_fails_the_plan(world: World) -> None:
    world.flow = replace(world.flow, on_schema_change=OnSchemaChange.FAIL)
    assert world.run(0).success
    world.widen()
    visible = visible_data_files(world.store)
    world.watched.calls.clear()
    result = world.run(1)
    assert not result.success
    [event] = [event for event in result.all_events if event.is_step_failure]
    assert event.step_key.endswith("plan")
    failure = event.step_failure_data.user_failure_data
    assert "added: note (string)" in failure.description
    assert failure.metadata["error"].value == "SchemaChanged"
    assert world.watched.calls["stage"] == world.watched.calls["put"] == 0
    assert visible_data_files(world.store) == visible


# What is retried


@pytest.mark.parametrize("method", ["check", "stage", "publish", "put"])
def test_s8_a_failure_of_the_system_is_retried_with_growing_waits(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0.001)
    left = [TransientError("the network is down"), TransientError("and still down")]

    def fail_twice(name: str, argument: Any) -> None:
        if name == method and left:
            raise left.pop()

    world.watched.hook = fail_twice
    result = world.run()
    assert result.success
    assert not left
    assert rows_by_manifest(world.store) == dict.fromkeys(range(1, 7), 1)
    assert visible_data_files(world.store) == named_files(world.store)
    assert staged_files(world.store) == []
    waits: dict[str | None, list[float]] = {}
    for event in result.all_events:
        if event.event_type_value == "STEP_UP_FOR_RETRY":
            waits.setdefault(event.step_key, []).append(event.step_retry_data.seconds_to_wait or 0)
    assert waits
    for of_one_step in waits.values():
        for number, wait in enumerate(of_one_step):
            # With jitter, so that what one outage stopped does not come back all at once.
            assert 0.75 <= wait / (0.001 * 2**number) <= 1.25


def test_s8_a_failure_that_stays_ends_the_run_after_some_retries(world: World) -> None:
    def fail(name: str, argument: Any) -> None:
        if name == "check":
            raise TransientError("the network is down")

    world.watched.hook = fail
    assert not world.run().success
    assert world.watched.calls["check"] == failures.MAX_RETRIES + 1


@pytest.mark.parametrize("failures_in_a_row", [2, 100])
def test_s8_a_check_that_cannot_read_now_is_tried_again_before_it_fails(
    world: World, failures_in_a_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0.001)
    left = [TransientError("the network is down")] * failures_in_a_row

    def fail(name: str, argument: Any) -> None:
        if name == "open" and ".parquet" in argument and left:
            raise left.pop()

    world.watched.hook = fail
    result = world.run()
    assert result.success is (failures_in_a_row == 2)
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(found) == set(CHECKS)
    for check in found.values():
        assert check.passed is result.success
        assert result.success or check.description == "the network is down"


def test_s8_a_permanent_error_is_not_retried_and_says_what_is_wrong(world: World) -> None:
    def refuse(name: str, argument: Any) -> None:
        if name == "check":
            raise AccessDenied("the bucket refused the credentials; renew them")

    world.watched.hook = refuse
    result = world.run()
    assert not result.success
    assert world.watched.calls["check"] == 1
    [event] = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure.description == "the bucket refused the credentials; renew them"
    assert failure.metadata["error"].value == "AccessDenied"
    assert list(world.store.list("")) == []


def test_a_re_execution_stages_only_the_shard_that_failed(world: World) -> None:
    failed = run_with_one_bad_shard(world)
    assert visible_data_files(world.store) == set()
    world.watched.hook = lambda name, argument: None
    world.watched.calls.clear()
    assert reexecute(world, failed).success
    assert world.watched.calls["stage"] == 1
    assert world.watched.calls["publish"] == 3
    assert rows_by_manifest(world.store) == dict.fromkeys(range(1, 7), 1)
    assert world.manifest().run_id == failed.run_id


def test_p6_a_re_execution_after_another_run_delivered_is_refused_and_leaves_nothing(world: World) -> None:
    """What it staged was cleared, and with it the record that would lead `sweep` to what it stages now."""
    failed = run_with_one_bad_shard(world)
    world.watched.hook = lambda name, argument: None
    assert world.run().success
    delivered = world.manifest()
    assert not reexecute(world, failed).success
    assert world.manifest().path == delivered.path
    assert visible_data_files(world.store) == named_files(world.store)
    assert staged_files(world.store) == []
    assert world.failed_checks() == set()


def run_with_one_bad_shard(world: World) -> dg.DagsterRun:
    def refuse_one(name: str, argument: Any) -> None:
        if name == "stage" and "part-00001" in argument:
            raise AccessDenied("no")

    world.watched.hook = refuse_one
    assert not execute_job(world).success
    [run] = world.instance.get_runs(limit=1)
    assert run.status is dg.DagsterRunStatus.FAILURE
    return run


def reexecute(world: World, run: dg.DagsterRun) -> dg.JobExecutionResult:
    return execute_job(world, dg.ReexecutionOptions.from_failure(run.run_id, world.instance))


def execute_job(world: World, options: dg.ReexecutionOptions | None = None) -> dg.JobExecutionResult:
    """With the outputs of steps on disk, as a re-execution needs them."""
    folder = str(world.folder)
    RECONSTRUCTED[folder] = world
    # Dagster keeps what it reconstructed by the arguments, so they have to differ between tests.
    job = dg.build_reconstructable_job(__name__, "reconstructed_job", reconstructable_kwargs={"folder": folder})
    return dg.execute_job(
        job, world.instance, tags={"dagster/partition": at(0)}, raise_on_error=False, reexecution_options=options
    )


RECONSTRUCTED: dict[str, World] = {}


def reconstructed_job(folder: str) -> dg.JobDefinition:
    return RECONSTRUCTED[folder].job


# What was delivered before


def test_p3_an_export_that_was_delivered_and_not_recorded_is_adopted(world: World) -> None:
    exporter = Exporter(world.store, world.delta.uri)
    sent = exporter.export(0)
    world.watched.calls.clear()
    result = world.run(0)
    assert result.success
    assert world.watched.calls["stage"] == 0
    shown = metadata_of(result)
    assert (shown["adopted"], shown["delivered_by_run"], shown["manifest_sha256"]) == (True, sent.run_id, sent.sha256)
    assert all(one.passed for one in result.get_asset_check_evaluations())


def test_a_scheduled_run_does_not_send_again_what_was_delivered_before_it_began(world: World) -> None:
    """A person was faster, or two ticks asked for it at the same moment."""
    sent = metadata_of(world.run(0))
    world.watched.calls.clear()
    result = scheduled_run(world)
    assert world.watched.calls["stage"] == 0
    shown = metadata_of(result)
    assert (shown["adopted"], shown["delivered_by_run"]) == (True, sent["delivered_by_run"])
    assert shown["manifest_sha256"] == sent["manifest_sha256"]
    assert world.failed_checks() == set()


def test_a_scheduled_run_delivers_what_is_recorded_and_was_removed(world: World) -> None:
    world.run(0)
    world.store.delete(world.manifest().path)
    assert metadata_of(scheduled_run(world))["adopted"] is False
    assert rows_by_manifest(world.store) == dict.fromkeys(range(1, 7), 1)


def scheduled_run(world: World) -> dg.ExecuteInProcessResult:
    return world.job.execute_in_process(
        instance=world.instance, partition_key=at(0), tags={SCHEDULED_TAG: "true"}, raise_on_error=False
    )


def test_p5_the_resend_tag_sends_what_could_be_adopted_again(world: World) -> None:
    exporter = Exporter(world.store, world.delta.uri)
    sent = exporter.export(0)
    shown = metadata_of(world.run(0, resend=True))
    assert (shown["adopted"], shown["superseded_manifests"]) == (False, 1)
    assert world.manifest().path != sent.path
    assert visible_data_files(world.store) == named_files(world.store)


def test_p5_a_resend_repeats_the_slice_and_the_ledger_names_the_newest(world: World) -> None:
    world.run(0)
    first = world.manifest()
    world.append(7)
    assert metadata_of(world.run(0, resend=True))["table_versions"] == {"from": None, "to": 2}
    second = world.manifest()
    assert {file.path for file in first.files}.isdisjoint(file.path for file in second.files)
    recorded = MaterializationLedger(world.instance, KEY).at(START)
    assert recorded is not None
    assert recorded.manifest_path == second.path
    assert world.failed_checks() == set()


# What the checks see


def test_checks_pass_over_a_delivery_that_is_as_it_was(world: World) -> None:
    world.run()
    assert world.failed_checks() == set()


def test_a_flipped_byte_in_a_delivered_file_fails_the_check(world: World) -> None:
    world.run()
    file = world.manifest().files[1]
    delivered = world.folder / "delivered" / file.path
    data = bytearray(delivered.read_bytes())
    data[len(data) // 2] ^= 1
    delivered.write_bytes(data)
    evaluation = world.checks()["files_match_manifest"]
    assert not evaluation.passed
    assert evaluation.description == "2 of 3 files as the manifest says"
    assert file.path in str(evaluation.metadata["wrong"].value)
    assert "SHA-256" in str(evaluation.metadata["wrong"].value)


def test_a_removed_file_fails_the_check(world: World) -> None:
    world.run()
    world.store.delete(world.manifest().files[0].path)
    assert "files_match_manifest" in world.failed_checks()


def test_a_removed_manifest_fails_both_checks(world: World) -> None:
    world.run()
    world.store.delete(world.manifest().path)
    evaluations = world.checks()
    assert not any(one.passed for one in evaluations.values())
    assert "resend" in str(evaluations["files_match_manifest"].description)


def test_an_export_that_was_never_made_fails_both_checks(world: World) -> None:
    assert world.failed_checks() == set(CHECKS)


def test_a_manifest_that_leaves_rows_out_does_not_reconcile(world: World) -> None:
    """Files and manifest agree with each other here; only the lake's log shows that a file was forgotten."""
    world.run()
    whole = world.manifest()
    world.store.delete(whole.files[0].path)
    short = build_manifest(
        world.flow,
        world.flow.datasets[0],
        path=whole.path,
        export_time=START,
        run_id=whole.run_id,
        bounds=whole.bounds,
        delivered=whole.files[1:],
        excluded=0,
        carried_over=0,
        schema=list(whole.document["schema"]),
        previous=None,
        supersedes=[],
    )
    world.store.put(whole.path, short.bytes, replace=True)
    assert world.failed_checks() == {"records_reconcile"}


def test_the_repair_tag_sends_only_what_is_missing(world: World) -> None:
    assert world.run().success
    first = world.manifest()
    world.store.delete(min(file.path for file in first.files))
    world.watched.calls.clear()
    result = world.job.execute_in_process(instance=world.instance, partition_key=at(0), tags={REPAIR_TAG: "listing"})
    assert world.watched.calls["stage"] == 1
    shown = metadata_of(result)
    assert shown["repair"] == "1 file(s) sent again, the others kept"
    assert shown["records"] == first.document["recordCount"]
    assert world.failed_checks() == set()


@pytest.mark.parametrize("tags", [{REPAIR_TAG: "somewhat"}, {REPAIR_TAG: "deep", RESEND_TAG: "true"}])
def test_a_repair_tag_that_means_nothing_is_refused(world: World, tags: dict[str, str]) -> None:
    result = world.job.execute_in_process(instance=world.instance, partition_key=at(0), tags=tags, raise_on_error=False)
    assert not result.success
    assert REPAIR_TAG in str(result.get_step_failure_events()[0].step_failure_data.user_failure_data)
    assert visible_data_files(world.store) == set()
