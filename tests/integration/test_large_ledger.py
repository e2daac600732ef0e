"""What is asked of the ledger is looked up: no query goes through all of it, on either database."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from qlik.documents import ExecutionSession
from schedules import alert_findings, backfill, claims, closing, entries, runs, services, stopping, vitals
from schedules.models import Run, Schedule
from schedules.run_lookup import narrow_to
from schedules.usual_durations import UsualDurations
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
#: Rows that are over; enough for PostgreSQL to take an index where there is one that helps
OVER = 20_000
SCHEDULES = 100
_TABLE = Run._meta.db_table

_FILL_SQLITE = f"""
    WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < {OVER})
    INSERT INTO {_TABLE} ({{columns}}) SELECT
        printf('%032x', i), %s + i %% {SCHEDULES}, 'old-' || i %% {SCHEDULES}, {{values}}
    FROM (
        SELECT i, strftime('%%Y-%%m-%%d %%H:%%M:%%S', '2026-11-27 11:00:00', '-' || i || ' minutes') AS at FROM number
    )
"""  # noqa: S608 -- all of it is constant
_FILL_POSTGRES = f"""
    INSERT INTO {_TABLE} ({{columns}}) SELECT
        lpad(to_hex(i), 32, '0')::uuid, %s + i %% {SCHEDULES}, 'old-' || i %% {SCHEDULES}, {{values}}
    FROM (SELECT i, timestamptz '2026-11-27 11:00:00Z' - i * interval '1 minute' AS at
          FROM generate_series(1, {OVER}) AS i) AS number
"""  # noqa: S608 -- all of it is constant
_VALUES = {
    "qlik_task_id": f"'{TASK_ID}'",
    "due_at": "at",
    "reason": "'scheduled'",
    "repeat": "0",
    "state": "CASE WHEN i %% 50 = 0 THEN 'failed' ELSE 'succeeded' END",
    "planned_at": "at",
    "claimed_at": "at",
    "called_at": "at",
    "closed_at": "at",
    "attempts": "1",
    "reload_attempts": "1",
    "occurrences": "1",
    "node": "''",
    "reload_details": "''",
    "message": "''",
    "worker": "'worker@host'",
}


@pytest.fixture
def schedule(make_schedule) -> Schedule:
    """Return one of a hundred schedules with many runs that are over, and some that are not."""
    first = make_schedule(title="First", qlik_task_id=str(uuid.uuid4()))
    fill = (_FILL_POSTGRES if connection.vendor == "postgresql" else _FILL_SQLITE).format(
        columns=", ".join(["id", "schedule_id", "schedule_name", *_VALUES]), values=", ".join(_VALUES.values())
    )
    with connection.cursor() as cursor:
        cursor.execute(fill, [first.pk])
        for state in ("planned", "queued", "claimed", "retrying", "waiting", "unsure", "started"):
            add_open(first, state)
        if connection.vendor == "postgresql":
            cursor.execute(f"ANALYZE {_TABLE}")
    return first


def add_open(schedule: Schedule, state: str) -> Run:
    had = {"claimed_at": NOW, "called_at": NOW} if state in ("claimed", "unsure", "started") else {}
    return Run.objects.create(
        schedule=schedule,
        schedule_name=schedule.name,
        qlik_task_id=schedule.qlik_task_id,
        due_at=NOW,
        planned_at=NOW,
        state=state,
        reason="scheduled",
        qrs_session=uuid.uuid4() if state == "started" else None,
        **had,
    )


def find_scans(ask: Callable[[], object]) -> list[str]:
    """Return the plans of the queries of `ask` that go through the whole ledger; nothing of it stays written."""
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        ask()
        transaction.set_rollback(True)
    texts = [query["sql"] for query in captured if re.search(rf"\b{_TABLE}\b", query["sql"])]
    assert texts, "nothing was asked of the ledger"
    plans = [explain(text) for text in texts if text.lstrip().startswith(("SELECT", "UPDATE", "DELETE"))]
    return [plan for plan in plans if is_scan(plan)]


def explain(text: str) -> str:
    kind = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{kind} {text}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def is_scan(plan: str) -> bool:
    """Return whether a plan reads all rows of the ledger, or all of them in the order of an index of all."""
    if connection.vendor == "postgresql":
        return f"Seq Scan on {_TABLE}" in plan
    # A conditional index has few rows
    return bool(
        re.search(rf"SCAN {_TABLE}(?! USING (COVERING )?INDEX run_(without_end|unscheduled|by_end|in_doubt))", plan)
    )


def make_session() -> ExecutionSession:
    return ExecutionSession(id=uuid.uuid4(), task_id=None, created_at=None, modified_at=None, result=None)


HOT: dict[str, Callable[[Schedule], object]] = {
    "stop of a schedule": lambda schedule: runs.skip_unclaimed([schedule.pk], message=""),
    "stop of many": lambda schedule: runs.skip_unclaimed(range(1, 1000), message=""),
    "maintenance": lambda schedule: runs.skip_all_unclaimed(message=""),
    "stop of reloads": lambda schedule: stopping._note([uuid.UUID(int=1), uuid.UUID(int=2)], origin=ORIGIN),
    "runs of sessions": lambda schedule: stopping._find_runs([make_session(), make_session()]),
    "taking": lambda schedule: runs.take_planned(most=50, now=NOW),
    "sending all again": lambda schedule: runs.requeue_all(),
    "in hand": lambda schedule: runs.count_in_hand(),
    "trying again": lambda schedule: runs.resume_due(now=NOW),
    "lost messages": lambda schedule: runs.requeue_lost_messages(now=NOW),
    "claim": lambda schedule: claims.claim_runs(
        list(Run.objects.filter(state="queued").values_list("pk", flat=True)), worker="w", now=NOW + timedelta(hours=1)
    ),
    "claiming workers": lambda schedule: claims.list_claiming_workers(),
    "lost claims": lambda schedule: claims.give_up_lost_claims(now=NOW, limit=timedelta(0), lost_workers=["w"]),
    "past limits": lambda schedule: closing.close_overdue(now=NOW),
    "past limits, shown": lambda schedule: closing.find_overdue(now=NOW),
    "alerts: ends": lambda schedule: list(alert_findings.find_in_closed(since=NOW - timedelta(hours=2), until=NOW)),
    "alerts: late": lambda schedule: list(alert_findings.find_overdue(now=NOW)),
    "alerts: slow": lambda schedule: list(alert_findings.find_slow(now=NOW)),
    "alerts: usual": lambda schedule: UsualDurations().look_up([schedule.pk]),
    "vitals": lambda schedule: vitals.read_vitals(),
    "backfill": lambda schedule: backfill.preview_backfill(
        [schedule.name], from_at=NOW - timedelta(days=1), until_at=NOW
    ),
    "planned before": lambda schedule: entries.list_planned(schedule.pk, [int(NOW.timestamp())]),
}


@pytest.mark.parametrize("name", HOT)
def test_what_the_service_asks_of_the_ledger_is_looked_up(schedule, name):
    assert not find_scans(lambda: HOT[name](schedule))


@pytest.mark.parametrize(
    "query",
    [
        "?q=First",
        "?q=nothing",
        "?q=00000000-0000-0000-0000-00000000abcd",
        "?reason__exact=manual",
        "?state__exact=aborted",
        "?of={pk}",
    ],
)
def test_the_pages_of_the_history_read_few_rows(admin_client, schedule, query):
    path = f"/admin/schedules/run/{query.format(pk=schedule.pk)}"

    with CaptureQueriesContext(connection) as captured:
        assert admin_client.get(path).status_code == 200

    rows = [query["sql"] for query in captured if f'FROM "{_TABLE}"' in query["sql"] and "WHERE" in query["sql"]]
    assert not [plan for plan in map(explain, rows) if is_scan(plan)]


class TestSearch:
    """What a person looks for in the history of runs."""

    def search(self, term: str, **filters: object) -> list[Run]:
        return list(narrow_to(Run.objects.filter(**filters), term))

    def test_a_task_is_found_whoever_started_it(self, make_schedule):
        task_id = str(uuid.uuid4())
        now_of_task = make_schedule(qlik_task_id=task_id)
        was_of_task, gone, other = make_schedule(qlik_task_id=task_id), make_schedule(), make_schedule()
        aiming = make_schedule(qlik_task_id="-", target_tag="nightly")
        found = [
            add_open(Schedule(pk=one.pk, name=one.name, qlik_task_id=task_id), "started")
            for one in (now_of_task, was_of_task, gone, aiming)
        ]
        found.append(
            Run.objects.create(qlik_task_id=task_id, due_at=NOW, planned_at=NOW, reason="api", state="claimed")
        )
        add_open(other, "started")
        was_of_task.qlik_task_id = str(uuid.uuid4())
        services.edit_schedule(was_of_task, origin=ORIGIN)
        services.delete_schedules([gone.name], origin=ORIGIN)

        assert {run.pk for run in self.search(task_id)} == {run.pk for run in found}
        assert {run.pk for run in self.search(task_id.upper())} == {run.pk for run in found}
        assert self.search(task_id, state="aborted") == []

    @pytest.mark.parametrize("most", [0, 10_000])
    def test_a_schedule_is_found_however_many_runs_it_has(self, monkeypatch, make_schedule, most):
        monkeypatch.setattr("schedules.run_lookup._MAX_RUNS", most)
        schedule, other = make_schedule(title="Sales at night"), make_schedule(title="Other")
        run = add_open(schedule, "started")
        add_open(other, "started")

        for term in ("at night", "SALES", schedule.name):
            assert self.search(term) == [run]
        assert self.search("at night", state="failed") == []
        assert self.search("nothing") == []

    def test_a_deleted_schedule_is_found_by_its_id(self, make_schedule):
        schedule = make_schedule()
        run = add_open(schedule, "started")
        services.delete_schedules([schedule.name], origin=ORIGIN)

        assert self.search(schedule.name) == [run]


class TestUsualDurations:
    """What reloads usually take, looked up for many schedules at once."""

    def add_reloads(self, schedule: Schedule, minutes: list[int]) -> list[Run]:
        """Write reloads that took so many minutes, the first one due last."""
        return [
            Run.objects.create(
                schedule=schedule,
                schedule_name=schedule.name,
                qlik_task_id=TASK_ID,
                due_at=NOW - timedelta(hours=number),
                planned_at=NOW,
                closed_at=NOW,
                state="succeeded",
                reason="scheduled",
                reload_duration=timedelta(minutes=taken),
            )
            for number, taken in enumerate(minutes)
        ]

    def test_it_is_the_median_of_the_last_ones_before(self, make_schedule):
        schedule, other, new = (make_schedule() for _ in range(3))
        runs_of_it = self.add_reloads(schedule, [50, *[4] * 11, *[6] * 9, *[90] * 30])
        self.add_reloads(other, [7] * 5)
        usual = UsualDurations()

        usual.look_up([schedule.pk, other.pk, new.pk])

        assert usual.of(schedule.pk, besides=runs_of_it[0].pk) == timedelta(minutes=4)
        assert usual.of(other.pk, besides=runs_of_it[0].pk) == timedelta(minutes=7)
        assert usual.of(new.pk, besides=runs_of_it[0].pk) is None

    def test_a_look_asks_once_for_all_schedules(self, make_schedule):
        counts = []
        for schedules in (1, 30):
            for _ in range(schedules):
                self.add_reloads(make_schedule(), [30, 2, 2, 2, 2, 2])
            with CaptureQueriesContext(connection) as queries:
                found = list(alert_findings.find_in_closed(since=NOW - timedelta(hours=1), until=NOW))
            counts.append(len(queries))

        assert counts == [2, 2]
        assert len({finding.run_id for finding in found if finding.is_bad and finding.event == "slow"}) == 31
