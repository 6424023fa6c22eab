"""The simulation: hour by hour, what the script says happens, the daemon takes a turn, and what has to come of it is noted."""

import json
import logging
import random
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration import alerts_tick, failures
from dataset_export_tests.soak.account import wrong_deliveries
from dataset_export_tests.soak.clock import Clock
from dataset_export_tests.soak.daemon import Daemon, simulated_daemon
from dataset_export_tests.soak.declarations import ALL_EVENTS, changed, changes, flows, write
from dataset_export_tests.soak.expected import Expected
from dataset_export_tests.soak.facts import Facts
from dataset_export_tests.soak.heard import Ear, ears
from dataset_export_tests.soak.lake import BURST, GrowingTable, new_lake
from dataset_export_tests.soak.script import Script, make_script, within
from dataset_export_tests.soak.storage import quicken_storage
from dataset_export_tests.soak.weather import Weather, let_local_folders_fail

START = datetime(2027, 1, 1, tzinfo=UTC)
STEP = timedelta(hours=1)
SETTLED = timedelta(seconds=15)
"""Between schedules and sensors: news is told when it is ten seconds old."""
GROWING = 0.35
"""How likely a table grows in an hour."""
BREAK_OFF = 0.01
"""How many calls of a destination break off."""
ALL_DAYS = 7
"""In so many days everything happens that can."""
AT_WORK = 9
"""The hour in which a person looks after what was given up."""
MOST_TURNS_AFTER = 72
QUIET_TURNS = 3
"""After everything has arrived, for what may come twice."""
REAL_SECONDS = 600.0


@dataclass
class Simulation:
    """One simulation, and how far it is.

    Attributes:
        days: how long the simulated time is.
        seed: of everything that is left to chance.
        folder: where everything is kept.
        secrets: where the declarations find the URLs of the channels.
    """

    days: int
    seed: int
    folder: Path
    clock: Clock
    script: Script
    lake: Mapping[str, GrowingTable]
    weather: Weather
    facts: Facts
    ears: Mapping[str, Ear]
    secrets: Mapping[str, Any]
    daemon: Daemon
    dice: random.Random
    expected: Expected
    by_hand: int = 0
    turns: int = 0
    began: float = field(default_factory=time.monotonic)

    def run(self) -> list[str]:
        """Let the days pass and what is left over come to rest; return what is wrong then."""
        length, now = timedelta(days=self.days), START
        coming = changes(START, length)
        for table in self.lake.values():
            table.grow(self.clock.now(), self.dice)
        self._declare()
        while now < START + length:
            now += STEP
            self.clock.move_to(now + timedelta(seconds=self.dice.randint(1, 50)))
            for name, table in self.lake.items():
                self._grow(name, table, now)
            while coming and START + coming[0].after <= now:
                self.facts.declared.update(changed(self.facts.declared, coming.pop(0)))
                self._declare()
            self._hour(now)
        self._come_to_rest(now)
        return list(self._wrong())

    def summary(self) -> dict[str, Any]:
        """Figures."""
        runs = self.facts.runs
        return {
            "days": self.days,
            "seed": self.seed,
            "turns_of_the_daemon": self.turns,
            "daemon_stops": len(self.script.stops),
            "runs": len(runs),
            "runs_that_failed": sum(not run.succeeded for run in runs),
            "exports": sum(len(run.deliveries) for run in runs),
            "by_hand": self.by_hand,
            "rows": sum(len(commit.ids) for table in self.lake.values() for commit in table.commits),
            "refused_calls": self.weather.refused,
            "broken_calls": self.weather.broken,
            "alerts": self.expected.told.total(),
            "alerts_by_event": dict(sorted(self.expected.events.items())),
            "alerts_turned_away": sum(ear.turned_away for ear in self.ears.values()),
            "alerts_unanswered": sum(ear.unanswered.total() for ear in self.ears.values()),
            "seconds": round(time.monotonic() - self.began),
        }

    def _declare(self) -> None:
        write(self.folder / "defs", self.folder / "lake", self.folder / "delivery", self.facts.declared, self.secrets)
        self.daemon.reload()

    def _grow(self, name: str, table: GrowingTable, now: datetime) -> None:
        def is_time(moments: Mapping[str, Sequence[datetime]]) -> bool:
            return any(now - STEP < moment <= now for moment in moments.get(name, ()))

        if is_time(self.script.new_columns):
            table.added_columns += 1
            table.grow(self.clock.now(), self.dice)
        if is_time(self.script.bursts):
            table.grow(self.clock.now(), self.dice, BURST)
        if self.dice.random() < GROWING:
            table.grow(self.clock.now(), self.dice)

    def _hour(self, now: datetime) -> None:
        stopped = within(now, self.script.stops)
        if stopped and not within(now - STEP, self.script.stops):
            self.daemon.reload()
        for ear in self.ears.values():
            ear.listen(now)
        if not stopped:
            self._turn()
            if now.hour == AT_WORK:
                self._look_after_what_was_given_up()
        if now.hour == 0:
            self._report((now - START).days)

    def _turn(self) -> None:
        self.turns += 1
        self.daemon.turn_schedules()
        self.clock.pass_by(SETTLED)
        self.expected.tick(self.clock.now())
        self.daemon.turn_sensors()

    def _look_after_what_was_given_up(self) -> None:
        now = self.clock.now()
        for flow in self.facts.declared.values():
            if not flow.enabled or self.weather.bad(flow.destination):
                continue
            for export_time, datasets in sorted(self.facts.missing(flow, flow.due(now)).items()):
                if self.facts.given_up(flow.name, export_time):
                    self.by_hand += 1
                    self.daemon.deliver_by_hand(flow.name, format_export_time(export_time), datasets)

    def _come_to_rest(self, now: datetime) -> None:
        """The sun shines and everybody listens, until what was missed has been made up for and told."""
        self.weather.shine()
        for ear in self.ears.values():
            ear.listen(None)
        quiet = 0
        for _ in range(MOST_TURNS_AFTER):
            now += STEP
            self.clock.move_to(now)
            self._turn()
            if now.hour == AT_WORK:
                self._look_after_what_was_given_up()
            quiet = 0 if self._undelivered() or any(self._unheard()) else quiet + 1
            if quiet > QUIET_TURNS:
                return

    def _undelivered(self) -> bool:
        now = self.clock.now()
        return any(flow.enabled and self.facts.missing(flow, flow.due(now)) for flow in self.facts.declared.values())

    def _unheard(self) -> Iterator[str]:
        """What channels have not heard, or heard without a reason, or too often."""
        for channel, ear in self.ears.items():
            expected = Counter({what: n for (to, what), n in self.expected.told.items() if to == channel})
            heard = ear.heard()
            for what, times in (expected - heard).items():
                yield f"{channel} has not heard ({times} of {expected[what]}): {what}"
            for what, times in (heard - expected).items():
                yield f"{channel} should not have heard ({times} of {heard[what]}): {what}"

    def _wrong(self) -> Iterator[str]:
        now = self.clock.now()
        yield from wrong_deliveries(self.folder / "delivery", self.facts, self.lake, now)
        yield from self._unheard()
        yield from (f"the daemon: {error}" for error in self.daemon.errors)
        yield from self.daemon.failed_ticks()
        if self.days >= ALL_DAYS:
            yield from self._what_never_happened()

    def _what_never_happened(self) -> Iterator[str]:
        """A simulation that is too tame proves nothing."""
        for event in sorted(ALL_EVENTS - {"usage_warning"}):
            if not self.expected.events[event]:
                yield f"the simulation gives no reason for an alert {event}"
        happened = {
            "export time that was given up and delivered by hand": self.by_hand,
            "call that was refused": self.weather.refused,
            "call that broke off": self.weather.broken,
            "alert that was turned away": sum(ear.turned_away for ear in self.ears.values()),
            "alert whose answer got lost": sum(ear.unanswered.total() for ear in self.ears.values()),
        }
        yield from (f"the simulation has no {what}" for what, times in happened.items() if not times)

    def _report(self, day: int) -> None:
        runs, alerts, seconds = len(self.facts.runs), self.expected.told.total(), time.monotonic() - self.began
        line = f"day {day} of {self.days}: {runs} runs, {alerts} alerts, {seconds:.0f} s"
        print(line, file=sys.stderr, flush=True)


def simulate(days: int, seed: int, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Run a simulation below a folder, which is made anew. Returns what is wrong (nothing when all is right), and figures."""
    _no_waiting()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    length, clock = timedelta(days=days), Clock()
    clock.move_to(START)
    script = make_script(START, length, random.Random(seed + 1))
    weather = Weather(seed, clock.now, script.outages, BREAK_OFF)
    let_local_folders_fail(weather)
    facts = Facts(flows(START, length))
    with (
        ears(folder, script.deaf, script.answers_lost) as (listening, secrets),
        simulated_daemon(folder / "home", folder / "defs", facts.ended) as daemon,
    ):
        simulation = Simulation(
            days,
            seed,
            folder,
            clock,
            script,
            new_lake(folder / "lake"),
            weather,
            facts,
            listening,
            secrets,
            daemon,
            random.Random(seed),
            Expected(facts, START),
        )
        wrong = simulation.run()
        return wrong, simulation.summary()


def _no_waiting() -> None:
    """Waits are real time here, and so are limits of them."""
    warnings.simplefilter("ignore", dg.BetaWarning)
    for name, level in (("dagster", logging.CRITICAL), ("dataset_export", logging.CRITICAL), ("soak", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    quicken_storage()
    # A step that breaks off is tried again at once.
    failures.FIRST_WAIT_SECONDS = 0.0
    # On a slow machine, reading the news must not take more than one turn.
    alerts_tick.READING_SECONDS = alerts_tick.SENDING_SECONDS = REAL_SECONDS


def result_text(wrong: Sequence[str], summary: Mapping[str, Any]) -> str:
    """The result for a person."""
    lines = [json.dumps(summary, indent=2), *(f"WRONG: {one}" for one in wrong)]
    again = f"python -m dataset_export_tests.soak --days {summary['days']} --seed {summary['seed']}"
    lines.append(f"{len(wrong)} complaint(s); again: {again}" if wrong else "all rows and all alerts are accounted for")
    return "\n".join(lines)
