"""PostgreSQL behind PgBouncer: every transaction may run on another connection."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from schedules import runs, services
from schedules.backfill import preview_backfill
from schedules.claims import claim_runs
from schedules.forecast import forecast_load
from schedules.lease import PlannerLease
from schedules.models import Run, Schedule
from schedules.vitals import read_vitals
from tests.conftest import ORIGIN, TASK_ID
from tests.pgbouncer import POOL_SIZE, PROGRAM, PgBouncer

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the database is no PostgreSQL"),
]


@pytest.fixture
def pgbouncer(monkeypatch):
    """Lead all connections of this process through a PgBouncer."""
    if not PROGRAM:
        pytest.skip("pgbouncer is not installed; on Debian: apt-get install pgbouncer")
    settings = connection.settings_dict
    with PgBouncer(settings) as running:
        connection.close()
        monkeypatch.setitem(settings, "HOST", "127.0.0.1")
        monkeypatch.setitem(settings, "PORT", str(running.port))
        yield running
        connection.close()


def show(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def in_threads(number: int, work):
    """Do work at once in so many threads, each with a connection of its own; return what came of each."""

    def do(_: int):
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(do, range(number)))


def test_it_starts_behind_pgbouncer(pgbouncer):
    settings = connection.settings_dict
    url = f"postgres://{settings['USER']}@127.0.0.1:{pgbouncer.port}/{settings['NAME']}"
    for arguments in (["migrate", "--verbosity", "0"], ["schedules", "list"], ["schedules", "forecast"]):
        told = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "butler.settings"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert told.returncode == 0, told.stderr


def test_lists_are_read_while_others_share_the_connections(pgbouncer, make_schedule):
    for _ in range(5):
        make_schedule()
    name = Schedule.objects.values_list("name", flat=True)[0]
    now = timezone.now()
    services.run_now([name], origin=ORIGIN)

    def read() -> tuple[int, int]:
        found = [forecast_load(from_at=now, until_at=now + timedelta(hours=1)).schedules for _ in range(10)]
        (preview,) = preview_backfill([name], from_at=now - timedelta(hours=1), until_at=now - timedelta(minutes=1))
        return sum(found), len(preview.occurrences)

    assert {total for total, _ in in_threads(3 * POOL_SIZE, read)} == {50}


def test_every_transaction_has_the_guard_and_nothing_is_left_on_the_connection(pgbouncer):
    def ask() -> set[str]:
        found = set()
        for _ in range(20):
            with transaction.atomic():
                found.add(show("idle_in_transaction_session_timeout"))
        return found

    assert in_threads(3 * POOL_SIZE, ask) == [{"3s"}] * (3 * POOL_SIZE)
    assert show("idle_in_transaction_session_timeout") == "0"


def test_the_guard_is_in_force_without_pgbouncer_too(transactional_db):
    with transaction.atomic():
        assert show("idle_in_transaction_session_timeout") == "3s"
        with transaction.atomic():
            assert show("idle_in_transaction_session_timeout") == "3s"


def test_a_transaction_that_idles_loses_its_locks(pgbouncer, make_schedule):
    make_schedule()
    is_locked, may_end = threading.Event(), threading.Event()

    def freeze() -> str:
        try:
            with transaction.atomic():
                list(Schedule.objects.select_for_update())
                is_locked.set()
                may_end.wait(20)
                list(Schedule.objects.all())
        except DatabaseError as error:
            return str(error)
        finally:
            connection.close()
        return "nothing happened"

    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(freeze)
        assert is_locked.wait(10)
        began = time.monotonic()
        with transaction.atomic():
            list(Schedule.objects.select_for_update())
        waited = time.monotonic() - began
        may_end.set()

        assert 1 < waited < 10
        assert frozen.result() != "nothing happened"


def test_a_run_is_planned_taken_and_claimed(pgbouncer, make_schedule):
    lease = PlannerLease()
    assert lease.keep()
    services.run_now([make_schedule(qlik_task_id=TASK_ID).name], origin=ORIGIN)
    with transaction.atomic():
        lease.renew()
        keys = runs.take_planned(most=10, now=timezone.now())
    assert len(keys) == 1

    assert len(claim_runs([UUID(key) for key in keys], worker="tests", now=timezone.now())) == 1
    assert Run.objects.get().state == Run.State.CLAIMED


def test_health_tells_when_transactions_have_no_guard(pgbouncer, monkeypatch):
    assert not [problem for problem in read_vitals().problems if "idle" in problem]
    connection.close()
    monkeypatch.setattr("butler.postgresql.base._GUARD", b"")

    assert [problem for problem in read_vitals().problems if "idle_in_transaction_session_timeout" in problem]
