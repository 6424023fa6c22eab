"""Dagster's SQLite storage without what it does anew at every access: an engine that compiles every statement again, a connection
whose end writes the log back, and reading all migration scripts for every run's database. What is stored is the same."""

from functools import lru_cache
from typing import Any

import sqlalchemy
from alembic.script import ScriptDirectory
from dagster._core.storage import sql
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

ENGINES = 24
"""How many are kept: those of runs, schedules and the index, and of the databases of the last runs."""


def quicken_storage() -> None:
    """Keep engines, their connections and the migration scripts, in this process."""
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        setattr(module, "create_engine", _engine)  # noqa: B010 - module types have no such attribute
    setattr(sql, "ScriptDirectory", _Scripts)  # noqa: B010


def _engine(url: str, **_: Any) -> sqlalchemy.Engine:
    return _kept_engine(url)


@lru_cache(maxsize=ENGINES)
def _kept_engine(url: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"check_same_thread": False, "timeout": 60})
    # Dagster gives an engine up after every access.
    setattr(engine, "dispose", lambda *_, **__: None)  # noqa: B010
    return engine


class _Scripts:
    @staticmethod
    @lru_cache(maxsize=3)
    def from_config(config: Any) -> ScriptDirectory:
        return ScriptDirectory.from_config(config)
