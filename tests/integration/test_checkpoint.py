"""SQLite's log is copied into its file when beat asks for it, not within its commits."""

from __future__ import annotations

import pytest
from django.db.backends.sqlite3.base import DatabaseWrapper

from schedules import checkpoint as checkpoint_module
from schedules.checkpoint import checkpoint, put_off_checkpoints

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
