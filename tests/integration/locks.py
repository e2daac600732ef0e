"""Locks of rows, made to be waited for: what SQLite need not know, for it lets one write at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from tests.waiting import wait_for

needs_row_locks = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite lets one write at a time")


def waiting_thread(work: Callable[[], object]) -> threading.Thread:
    """Do some work in a thread with a connection of its own, and return it when it waits for a lock of this one's.

    Fails where the work needs no lock. For a test in a transaction, whose end lets the work go on.
    """

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if connection.vendor == "postgresql":
        wait_for(lambda: count_waiting() or not thread.is_alive(), seconds=10)
    else:
        thread.join(0.3)
    assert thread.is_alive(), "it waits for no lock"
    return thread


def take_lock_of_row(rows: QuerySet[Any]) -> None:
    """Lock a row, without a wait: fails where another transaction has it, which may wait for one of ours in turn."""
    assert list(rows.select_for_update(nowait=True).values_list("pk")), "there is no such row"


def count_waiting() -> int:
    """Return how many locks are waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])
