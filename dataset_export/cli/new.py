"""`new`: a dataflow by question and answer, or by options, written as a declaration."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.folders import folders_of, print_folders
from dataset_export.cli.listing import preview_time
from dataset_export.cli.questions import ALL, ask, ask_one, ask_several, confirmed, heading
from dataset_export.cli.review import address_in, declared, print_declared
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import note
from dataset_export.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from dataset_export.components.catalog import Catalog
    from dataset_export.export.dataflow import Dataflow

FREQUENCIES = {
    "daily": "once a day",
    "hourly": "every 3, 6, 8 or 12 hours",
    "once": "one time",
    "cron": "minute, hour, day, month and weekday as you like",
}
MODES = {"incremental": "everything first, then what was added since", "full": "everything, each time"}
ENCODINGS = {
    "parquet/gzip": "what most readers of exports expect",
    "parquet/zstd": "smaller, and faster to read",
    "parquet/snappy": "fast to read, larger",
    "parquet/none": "not compressed",
    "parquet/source": "as it is in the lake: nothing is encoded anew",
    "json/gzip": "one JSON object a line",
}

AT = "02:00"


@dataclass
class _Answers:
    """What was given by options, and who answers the rest."""

    session: Session
    options: Mapping[str, Any]
    asked: bool = False
    step: str = ""

    @property
    def yes(self) -> bool:
        return bool(self.options["yes"])

    def given(self, option: str) -> Any:
        return self.options[option]

    def begin(self, step: str) -> None:
        """Name the step that comes next; it is shown when something of it is asked."""
        self.step = step

    def asking(self) -> None:
        """A person is asked now."""
        self.asked = True
        if self.step:
            heading(self.step)
        self.step = ""

    def of(
        self, option: str, question: Callable[[str | None, str], Any], read: Callable[[str], Any], default: str | None
    ) -> Any:
        """The answer by option, by default with --yes, or by a person.

        Args:
            option: its name.
            question: asks a person, with a default and the option to name.
            read: makes an answer of a text.
            default: None when there is none.
        """
        flag = {"encoding": "--format", "name": "a NAME"}.get(option, f"--{option.replace('_', '-')}")
        text = self.given(option)
        if text is None and self.yes:
            if default is None:
                raise UsageError(f"--yes takes defaults, and there is none for this; give {flag}")
            text = default
        if text is not None:
            return read(text)
        self.asking()
        return question(default, flag)

    def text(self, option: str, question: str, read: Callable[[str], Any], default: str | None) -> Any:
        return self.of(option, lambda default, flag: ask(question, read, default=default, flag=flag), read, default)

    def one(self, option: str, question: str, choices: Mapping[str, str], default: str | None) -> str:
        return self.of(
            option,
            lambda default, flag: ask_one(question, choices, default=default, flag=flag),
            lambda text: _known(text, choices, question),
            default,
        )


@click.command()
@click.argument("name", required=False)
@click.option("--destination", metavar="D", help="Id of the destination.")
@click.option("--dataset", "datasets", multiple=True, metavar="D", help="Id of a dataset, or 'all'; may be repeated.")
@click.option("--frequency", type=click.Choice(list(FREQUENCIES)), help="Default: daily.")
@click.option("--at", metavar="HH:MM", help="UTC; of daily and hourly exports. Default: 02:00.")
@click.option("--every-hours", metavar="N", help="3, 6, 8 or 12; of hourly exports. Default: 6.")
@click.option("--cron", metavar="EXPR", help="UTC; for the frequency cron.")
@click.option("--start", metavar="T", help="A date or a time, UTC: no export is earlier. Default: tomorrow.")
@click.option("--end", metavar="T", help="A time, a date (the end of that day) or never. Default: six months later.")
@click.option("--mode", type=click.Choice(list(MODES)), help="Default: incremental.")
@click.option("--folder", metavar="TEMPLATE", help="Default: %DATASET_ID%/%EXPORT_TIME%.")
@click.option("--format", "encoding", type=click.Choice(list(ENCODINGS)), help="Default: the destination's.")
@click.option(
    "--owner", metavar="O", help="A role, team:NAME or an e-mail address; asked for where access is declared."
)
@click.option("--description", metavar="TEXT", help="Default: none.")
@click.option("-o", "--output", metavar="FOLDER", help="Below the folder of declarations. Default: dataflows/NAME.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults for what no option says.")
@click.option("--dry-run", is_flag=True, help="Print the declaration instead of writing it.")
@click.pass_obj
def new(session: Session, **options: Any) -> None:
    """Declare a new dataflow: destination, datasets, schedule, mode, folder, format, review.

    Asks for what the options do not say, checks every answer at once, shows what will be delivered where, and writes a
    defs.yaml into a new folder. The definitions are loaded with it before it says done; what does not load is taken back.
    Nothing is exported, and nothing that is there is overwritten.
    """
    from dataset_export.components.candidate import place_for, write
    from dataset_export.components.source import short

    catalog = session.catalog
    answers = _Answers(session, options)
    attributes = _attributes(answers, catalog)
    file = place_for(catalog.tree, attributes["name"], options["output"])
    text, dataflow = _checked(catalog, attributes, file)
    if options["dry_run"]:
        click.echo(text, nl=False)
        return
    heading("Review")
    print_declared(dataflow, declared(dataflow, session.clock(), address_in(session, dataflow)), err=True)
    click.echo(f"\n{text}", err=True)
    if answers.asked and not confirmed(f"write {short(file)}?"):
        note("note: nothing was written")
        return
    write(catalog.tree, text, file)
    click.echo(
        f"wrote {short(file)}; `dataset-export review {dataflow.name}` shows it again, and its schedule runs once the code location is loaded anew"
    )


def _attributes(answers: _Answers, catalog: "Catalog") -> dict[str, Any]:
    """The attributes of the dataflow, each answer checked."""
    destination = _destination(answers, catalog)
    datasets = _datasets(answers, catalog)
    schedule = _schedule(answers)
    answers.begin("Mode")
    mode = answers.one("mode", "mode", MODES, "full" if schedule["frequency"] == "once" else "incremental")
    attributes: dict[str, Any] = {
        "name": "preview",
        "datasets": datasets,
        "destination": destination,
        "schedule": schedule,
        "mode": mode,
    }
    if (owner := _owner(answers, catalog, attributes)) is not None:
        attributes["owner"] = owner
    attributes["folder"] = _folder(answers, catalog, attributes)
    attributes |= _encoding(answers, catalog, destination)
    answers.begin("Name")
    suggested = f"{datasets[0] if len(datasets) == 1 else 'datasets'}_to_{destination}".replace("-", "_").replace(
        ".", "_"
    )
    attributes["name"] = answers.text("name", "name of the dataflow", lambda text: _name(text, catalog), suggested)
    description = answers.text("description", "description", str, "")
    return {"name": attributes.pop("name"), **({"description": description} if description else {}), **attributes}


def _destination(answers: _Answers, catalog: "Catalog") -> str:
    if not catalog.destinations:
        raise UsageError(
            "no destination is declared; declare one first: dg scaffold defs dataset_export.components.Destination NAME"
        )
    answers.begin("Destination")
    choices = {key: f"{info.name} ({info.type})" for key, info in sorted(catalog.destinations.items())}
    return answers.one("destination", "destination", choices, next(iter(choices)) if len(choices) == 1 else None)


def _datasets(answers: _Answers, catalog: "Catalog") -> list[str]:
    from dataset_export.governance.eligibility import why_not

    reasons = {key: why_not(dataset, catalog.licenses) for key, dataset in sorted(catalog.datasets.items())}
    choices = {key: catalog.datasets[key].name for key, reason in reasons.items() if reason is None}
    if not choices:
        raise UsageError("there is no dataset that may be exported; `dataset-export datasets` says why")
    answers.begin("Datasets")
    given = answers.given("datasets")
    if given:
        for key in given:
            if (reason := reasons.get(key)) is not None:
                raise UsageError(f"dataset {key!r} may not be exported: {reason}")
        return list(choices) if ALL in given else [_known(key, choices, "dataset") for key in dict.fromkeys(given)]
    if answers.yes:
        raise UsageError("--yes takes defaults, and there is none for the datasets; give --dataset, or --dataset all")
    answers.asking()
    if len(choices) < len(reasons):
        note(f"  ({len(reasons) - len(choices)} more may not be exported; `dataset-export datasets` says why)")
    return ask_several("datasets", choices, flag="--dataset")


def _schedule(answers: _Answers) -> dict[str, Any]:
    answers.begin("Schedule (UTC)")
    now = answers.session.clock()
    tomorrow = (now + timedelta(days=1)).date().isoformat()
    frequency = answers.one("frequency", "frequency", FREQUENCIES, "cron" if answers.given("cron") else "daily")
    schedule: dict[str, Any] = {"frequency": frequency}
    start = f"{tomorrow}T{AT}" if frequency == "once" else tomorrow
    schedule["start"] = answers.text("start", "start", lambda text: _part(schedule, "start", text), start)
    if frequency in {"daily", "hourly"}:
        if frequency == "hourly":
            schedule["every_hours"] = answers.text(
                "every_hours", "every so many hours", lambda text: _part(schedule, "every_hours", _number(text)), "6"
            )
        schedule["at"] = answers.text("at", "at", lambda text: _part(schedule, "at", text), AT)
    if frequency == "cron":
        schedule["cron"] = answers.text("cron", "cron", lambda text: _part(schedule, "cron", text), None)
    for superfluous in {"at", "every_hours", "cron"} - set(schedule):
        if answers.given(superfluous) is not None:
            _part(schedule, superfluous, answers.given(superfluous))
    if frequency != "once":
        default = _six_months(schedule)
        schedule["end"] = answers.text(
            "end", "end (a date, a time or never)", lambda text: _part(schedule, "end", text), default
        )
    return schedule


def _part(schedule: Mapping[str, Any], field: str, value: Any) -> Any:
    """A field of the schedule. Raises ConfigError, in the words of a load, when it does not go with those before it."""
    from dataset_export.export.schedule import Frequency, make_schedule

    parts = {**schedule, field: value}
    try:
        start = datetime.fromisoformat(parts["start"])
    except ValueError:
        raise ConfigError(f"{parts['start']!r} is no time; write 2026-11-02 or 2026-11-02T08:00 (UTC)") from None
    frequency = Frequency(parts["frequency"])
    if field == "start" and frequency is not Frequency.ONCE:
        frequency = Frequency.DAILY  # what else it takes is asked next
    others = {key: parts[key] for key in ("at", "every_hours", "cron", "end") if key in parts}
    make_schedule(frequency, start, **others)
    return value


def _six_months(schedule: Mapping[str, Any]) -> str:
    from dataset_export.export.schedule import Frequency, make_schedule

    parts = {key: schedule[key] for key in ("at", "every_hours", "cron") if key in schedule}
    end = make_schedule(Frequency(schedule["frequency"]), datetime.fromisoformat(schedule["start"]), **parts).end
    return end.strftime("%Y-%m-%dT%H:%M") if end is not None else "never"


def _owner(answers: _Answers, catalog: "Catalog", attributes: Mapping[str, Any]) -> str | None:
    def read(text: str) -> str:
        _tried(catalog, {**attributes, "owner": text})
        return text

    if not catalog.restricted:
        given: str | None = answers.given("owner")
        return read(given) if given is not None else None
    answers.begin("Owner")
    return answers.text("owner", "owner (a role, team:NAME or an e-mail address)", read, None)


def _folder(answers: _Answers, catalog: "Catalog", attributes: Mapping[str, Any]) -> str:
    """Asked until the tree that it makes is accepted."""
    from dataset_export.export.folder import DEFAULT_TEMPLATE, MACROS

    answers.begin("Folder")
    given = answers.given("folder")
    if given is not None or answers.yes:
        return _template(catalog, attributes, given if given is not None else DEFAULT_TEMPLATE)
    answers.asking()
    for name, what in MACROS.items():
        click.echo(f"  %{name}%: {what}", err=True)
    template = DEFAULT_TEMPLATE
    while True:
        dataflow = _tried(catalog, {**attributes, "folder": template})
        export_time = preview_time(dataflow, None, answers.session.clock())
        print_folders(dataflow, export_time, folders_of(dataflow, export_time), err=True)
        answer = answers.text(
            "folder", "folder (Enter takes it)", lambda text: _template(catalog, attributes, text), template
        )
        if answer == template:
            return template
        template = answer


def _template(catalog: "Catalog", attributes: Mapping[str, Any], text: str) -> str:
    _tried(catalog, {**attributes, "folder": text})
    return text


def _tried(catalog: "Catalog", attributes: Mapping[str, Any]) -> "Dataflow":
    """The dataflow so far. Raises ConfigError without a line: nothing is written yet."""
    draft = Path("defs.yaml")
    try:
        return _checked(catalog, attributes, draft)[1]
    except ConfigError as error:
        raise ConfigError(re.sub(rf"(?m)^{re.escape(str(draft))}:\d+: ", "", str(error))) from None


def _encoding(answers: _Answers, catalog: "Catalog", destination: str) -> dict[str, str]:
    answers.begin("Format")
    inherited = catalog.destinations[destination].encoding
    default = f"{inherited.format}/{inherited.compression}"
    choice = answers.one("encoding", "format", ENCODINGS, default)
    if choice == default and answers.given("encoding") is None:
        return {}
    return dict(zip(("format", "compression"), choice.split("/"), strict=True))


def _checked(catalog: "Catalog", attributes: Mapping[str, Any], file: Path) -> "tuple[str, Dataflow]":
    from dataset_export.components.candidate import checked
    from dataset_export.components.written import document

    text = document("Dataflow", attributes)
    return text, checked(catalog.tree, text, file)


def _name(text: str, catalog: "Catalog") -> str:
    from dataset_export.export.dataflow import check_name

    check_name(text, "the dataflow name")
    if text in catalog.dataflows:
        raise UsageError(f"there is a dataflow {text!r} already; give another name")
    return text


def _known(text: str, choices: Mapping[str, str], what: str) -> str:
    from dataset_export.suggestion import did_you_mean

    if text not in choices:
        raise UsageError(f"there is no {what} {text!r}; there are {', '.join(choices)}{did_you_mean(text, choices)}")
    return text


def _number(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"{text!r} is no number")
    return int(text)
