"""SQLite's log is copied into its file when beat asks for it, not within its commits."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.utils import timezone

from schedules import checkpoint as checkpoint_module
from schedules import claims, editing
from schedules.checkpoint import checkpoint, put_off_checkpoints, sync_log
from schedules.models import Run
from tests.conftest import TASK_ID

pytestmark = pytest.mark.django_db

#: Larger than the 1000 pages of 4 KiB at which SQLite makes a checkpoint by itself
MUCH = 6_000_000


@pytest.fixture
def database(tmp_path, monkeypatch, settings):
    """Return a connection to a file of its own with a table, which takes the place of the service's."""
    options = {**settings.DATABASES["default"], "NAME": tmp_path / "db.sqlite3", "OPTIONS": {}, "TIME_ZONE": None}
    wrapper = DatabaseWrapper(options)
    monkeypatch.setattr(checkpoint_module, "connection", wrapper)
    execute(wrapper, "PRAGMA journal_mode = WAL")
    execute(wrapper, "CREATE TABLE words (word BLOB)")
    yield wrapper
    wrapper.close()


def execute(wrapper: DatabaseWrapper, statement: str) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def size_after_commit(wrapper: DatabaseWrapper) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("INSERT INTO words VALUES (zeroblob(%s))", [MUCH])
    return wrapper.settings_dict["NAME"].stat().st_size


def test_a_commit_leaves_the_file_alone_until_a_checkpoint_is_asked_for(database):
    put_off_checkpoints()

    assert size_after_commit(database) < MUCH

    checkpoint()
    assert database.settings_dict["NAME"].stat().st_size > MUCH


def test_sqlite_by_itself_does_it_within_the_commit(database):
    assert size_after_commit(database) > MUCH


def test_a_reader_that_keeps_the_log_in_use_is_not_waited_for(database):
    put_off_checkpoints()
    reader = database.copy()
    with reader.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM words")
        size_after_commit(database)

        checkpoint()

        assert database.settings_dict["NAME"].stat().st_size < MUCH
    reader.close()
    checkpoint()
    assert database.settings_dict["NAME"].stat().st_size > MUCH


def test_what_is_committed_comes_to_the_disk_when_it_is_asked_for(database, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink()))
    size_after_commit(database)
    assert not synced

    sync_log()

    assert synced == [Path(f"{database.settings_dict['NAME']}-wal")]
    database.close()
    sync_log()
    assert len(synced) == 1, "SQLite has copied the log into the file, with a sync of its own"


def test_a_disk_that_does_not_take_the_log_is_a_database_that_is_away(database, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    size_after_commit(database)
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OperationalError, match="-wal cannot be written to the disk: Input/output error"):
        sync_log()


@pytest.mark.django_db(transaction=True)
def test_claims_and_edits_are_on_the_disk_before_they_are_known(make_schedule, monkeypatch):
    states = []
    for module in (claims, editing):
        monkeypatch.setattr(
            module,
            "sync_log",
            lambda: states.append((connection.in_atomic_block, list(Run.objects.values_list("state", flat=True)))),
        )
    now = timezone.now()
    schedule = make_schedule()
    run = Run.objects.create(
        schedule=schedule, qlik_task_id=TASK_ID, due_at=now, planned_at=now, reason="scheduled", state="queued"
    )

    assert claims.claim_runs([run.pk], worker="w", now=now)
    assert not claims.claim_runs([run.pk], worker="w", now=now)
    claims.claim_new_runs([TASK_ID], message="", worker="w", now=now)

    assert states == [(False, []), (False, ["claimed"]), (False, ["claimed", "claimed"])]
