"""Notices are kept where a person looks: the history of the dataflow's assets."""

from datetime import UTC, datetime

import pytest

from dataset_export.orchestration.notices import Notice, NoticeKind, record_notice
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.hourly import EVENTS, ORDERS, dataflow

END = datetime(2026, 11, 1, 14, tzinfo=UTC)


def test_a_notice_is_logged_and_shown_at_each_asset(caplog: pytest.LogCaptureFixture) -> None:
    notice = Notice(NoticeKind.END_NEAR, dataflow(), "dataflow flow ends in 7 days", END, days=7)
    with new_instance() as instance:
        record_notice(instance, notice)
        for key in (ORDERS, EVENTS):
            [record] = instance.fetch_observations(key, limit=2).records
            observation = record.asset_observation
            assert observation is not None
            assert observation.description == notice.text
            assert observation.metadata["notice"].value == "end_near"
    assert caplog.messages == [notice.text]


def test_the_key_of_a_notice_tells_it_from_others() -> None:
    ended = Notice(NoticeKind.ENDED, dataflow(), "it has ended", END)
    assert ended.key == Notice(NoticeKind.ENDED, dataflow(), "in other words", END).key == "ended:flow:202611011400"
    week, day = (Notice(NoticeKind.END_NEAR, dataflow(), "it will end", END, days=days) for days in (7, 1))
    assert len({ended.key, week.key, day.key}) == 3
