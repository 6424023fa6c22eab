"""Which alerts have to arrive, by an account of its own: from what has happened and the rules as docs/alerts.md tells them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from dataset_export_tests.soak.declarations import Flow
from dataset_export_tests.soak.facts import Delivery, Facts, Run

REMEMBERED = timedelta(days=7)
WARN_DAYS = (30, 7, 1)
COMPARED = 28
LEAST_COMPARED = 7


@dataclass
class Expected:
    """What each channel has to hear, and how often.

    Attributes:
        facts: what has happened.
        since: nothing that happened earlier is told.
        told: (channel, what it hears), in the words of the title; of lateness each export time by itself.
        events: how many alerts of each event there are.
    """

    facts: Facts
    since: datetime
    told: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    events: Counter[str] = field(default_factory=Counter[str])
    _runs_told: int = 0
    _late_until: datetime | None = None
    _said: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _ends_said: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def tick(self, now: datetime) -> None:
        """Tell what has happened by now; to be called whenever the sensors look."""
        for run in self.facts.runs[self._runs_told :]:
            self._tell_run(run, now)
        self._runs_told = len(self.facts.runs)
        for flow in self.facts.declared.values():
            if flow.enabled:
                self._tell_late(flow, now)
                self._tell_end(flow, now)
        self._late_until = now

    def _tell(self, flow: Flow, event: str, what: str) -> None:
        channels = flow.channels(event)
        self.told.update((channel, what) for channel in channels)
        self.events[event] += len(channels) > 0

    def _tell_once(self, flow: Flow, event: str, key: str, what: str, now: datetime) -> None:
        """Unless the same was told in the last days."""
        key = f"{flow.name} {event} {key}"
        if self._said.get(key, now - 2 * REMEMBERED) < now - REMEMBERED:
            self._tell(flow, event, what)
        self._said[key] = now

    def _tell_run(self, run: Run, now: datetime) -> None:
        flow = self.facts.declared[run.flow]
        if not run.selected & set(flow.datasets):
            return  # of datasets that were removed meanwhile: nobody cares any more
        name = f"{flow.name}: export of {run.export_time:%Y-%m-%d %H:%M} UTC"
        self._tell(flow, "started", f"{name} started")
        for delivery in run.deliveries:
            if delivery.dataset in flow.datasets:
                self._tell_content(flow, delivery, name, now)
        if run.succeeded and not run.failed_checks:
            self._tell(flow, "succeeded", f"{name} succeeded")
            return
        undelivered = not run.succeeded and (run.reasons or not run.failed_checks)
        what = f"{name} failed" if undelivered else f"{name} was delivered, but a check of it failed"
        failed = self.facts.failed(flow.name, run.export_time)
        if self.facts.given_up(flow.name, run.export_time) and failed[-1] is run:
            self._tell(flow, "failed", f"{what}, and is not tried again")
        else:
            key = f"{run.export_time} {run.reasons} {run.failed_checks}"
            self._tell_once(flow, "failed", key, what, now)

    def _tell_content(self, flow: Flow, delivery: Delivery, name: str, now: datetime) -> None:
        dataset, key = delivery.dataset, f"{delivery.dataset} {delivery.export_time}"
        if delivery.excluded:
            what = f"{name} left out {delivery.excluded:,} records of {dataset}"
            self._tell_once(flow, "excluded_rows", key, what, now)
        if delivery.other_columns and flow.more.get("on_schema_change") == "notify":
            what = f"{name} has other columns of {dataset} than the export before"
            self._tell_once(flow, "schema_drift", key, what, now)
        compared = delivery.increment and not self._came_after_its_rows(delivery)
        if compared and (out := stands_out(delivery.records, self._records_before(delivery))):
            what = f"{name} has unusually {'few' if out < 0 else 'many'} records of {dataset}"
            self._tell_once(flow, "volume_anomaly", key, what, now)

    def _records_before(self, delivery: Delivery) -> list[int]:
        done = self.facts.delivered(delivery.flow.name, delivery.dataset)
        before = sorted(one for one in done if one < delivery.export_time)[-COMPARED:]
        newest = [done[one][-1] for one in before]
        return [one.records for one in newest if one.increment and not self._came_after_its_rows(one)]

    def _came_after_its_rows(self, delivery: Delivery) -> bool:
        """Whether a later export had been delivered before, and with it the rows of this one."""
        done = list(self.facts.delivered(delivery.flow.name, delivery.dataset))
        first_ones = done[: done.index(delivery.export_time)]
        return delivery.no_versions and any(one > delivery.export_time for one in first_ones)

    def _tell_late(self, flow: Flow, now: datetime) -> None:
        after = max(self.since, self._late_until or self.since)
        judged = [one for one in flow.due(now) if one >= self.since and after < one + flow.late_after <= now]
        late = self.facts.missing(flow, judged)
        for dataset in flow.datasets:
            for one in judged:
                first = self.facts.delivered(flow.name, dataset).get(one)
                if first and first[0].at > one + flow.late_after:
                    late[one] = (*late.get(one, ()), dataset)
        for one, datasets in late.items():
            in_order = ", ".join(dataset for dataset in flow.datasets if dataset in datasets)
            self._tell(flow, "late", f"{flow.name} is late: {one:%Y-%m-%d %H:%M} UTC: {in_order}")

    def _tell_end(self, flow: Flow, now: datetime) -> None:
        end = next(flow.due(now), flow.start) if flow.once else flow.end
        if end is None:
            return
        if not flow.over(now):
            warned = {f"{end} {days}" for days in _days_ahead(flow, now)}
            newest = f"{end} {min(_days_ahead(flow, now), default=0)}"
            if warned and (flow.name, newest) not in self._ends_said:
                self._tell(flow, "end_near", f"{flow.name}: the end is near, {end:%Y-%m-%d %H:%M} UTC")
            self._ends_said |= {(flow.name, one) for one in warned}
        elif (flow.name, f"{end}") not in self._ends_said and not self._pending(flow, now):
            self._ends_said.add((flow.name, f"{end}"))
            self._tell(flow, "ended", f"{flow.name}: ended on {end:%Y-%m-%d %H:%M} UTC")

    def _pending(self, flow: Flow, now: datetime) -> bool:
        """Whether something is due that is neither delivered nor given up."""
        return any(not self.facts.given_up(flow.name, one) for one in self.facts.missing(flow, flow.due(now)))


def _days_ahead(flow: Flow, now: datetime) -> Iterator[int]:
    if flow.end is not None and not flow.once:
        for days in WARN_DAYS:
            if flow.start < flow.end - timedelta(days=days) <= now:
                yield days


def stands_out(records: int, before: Sequence[int]) -> int:
    """1 when there are far more records than in the exports before, -1 for far fewer, else 0."""
    if len(before) < LEAST_COMPARED:
        return 0
    middle = median(before)
    side = 1 if records > middle else -1
    away = [(one - middle) * side for one in before]
    far = (records - middle) * side
    if far <= middle / 2 or (records and far <= 5 * median(map(abs, away))):
        return 0
    alike = sum(one >= far / 2 for one in away) if records else before.count(0)
    return side if alike < 2 else 0
