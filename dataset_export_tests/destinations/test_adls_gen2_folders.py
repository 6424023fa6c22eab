"""Folders of the Data Lake that a neighbour removes, because they are empty, while a file is renamed into them."""

import pytest

from dataset_export.destinations.adls_gen2 import ADLSGen2Destination
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.servers.dfs import ACCOUNT, DataLake, Fault
from dataset_export_tests.servers.dfs_tree import Conditions


@pytest.mark.parametrize("times", [1, 8])
def test_folder_that_vanishes_is_made_again(data_lake: DataLake, times: int) -> None:
    file_system = data_lake.create_file_system()
    store = ADLSGen2Destination(
        account=ACCOUNT,
        filesystem=file_system,
        endpoint_url=data_lake.endpoint,
        allow_insecure=True,
        account_key=data_lake.access.key,
    ).store()
    staged, pruned = stage(store, "a/file", b"rows"), list[str]()

    def prune() -> None:
        pruned.append("a")
        data_lake.file_systems[file_system].delete("a", recursive=False, conditions=Conditions())

    data_lake.arm(Fault("PUT", "resource=directory", times, then=prune))
    store.publish(staged)
    assert len(pruned) == times
    assert read(store, "a/file") == b"rows"
