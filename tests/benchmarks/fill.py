"""Makes schedules in bulk, in a process of its own: python -m tests.benchmarks.fill ours|stock|redbeat NUMBER [DUE]

The service's own functions save schedules one by one, which for 100,000 of them takes minutes.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import django

if TYPE_CHECKING:
    from schedules.models import Schedule

ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "Asia/Tokyo")
DAY = timedelta(days=1)
BATCH = 1000


def main(kind: str, number: int, due: int = 0) -> None:
    """Make so many schedules of a kind; those of the peers are due at `due` (seconds since 1970)."""
    if kind == "redbeat":
        fill_redbeat(number, due=datetime.fromtimestamp(due, UTC))
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if kind == "stock":
        fill_stock(number)
    else:
        fill_service(number, now=datetime.now(UTC))


def idle_crons(now: datetime) -> Iterator[tuple[str, str]]:
    """Yield cron texts and zones of daily schedules, none due within the next three hours, again and again.

    720 moments of the day in four zones each: as many different ones as a large site may have.
    """
    begin = now.replace(minute=0) + timedelta(hours=4)
    while True:
        for minute in range(720):
            for zone in ZONES:
                local = (begin + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
                yield f"{local.minute} {local.hour} * * *", zone


def fill_service(number: int, *, now: datetime) -> None:
    """Write the rows of started schedules that are not due soon, each with a Qlik task of its own."""
    from django.db import connection, transaction
    from django_celery_beat.models import CrontabSchedule, PeriodicTask

    from schedules.models import START_RUNS_TASK, Lease, Schedule

    # By which tests.benchmarks.reader knows the queue
    Lease.objects.update_or_create(pk=1, defaults={"installation": "benchmark"})
    crons = idle_crons(now)
    with transaction.atomic():
        crontab = CrontabSchedule.objects.create(timezone="UTC")
        parents = [
            PeriodicTask(name=f"bench-{i}", task=START_RUNS_TASK, crontab=crontab, enabled=True) for i in range(number)
        ]
        PeriodicTask.objects.bulk_create(parents, batch_size=BATCH)
        fields = Schedule._meta.local_concrete_fields
        names = ", ".join(field.column for field in fields)
        marks = ", ".join(["%s"] * len(fields))
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {Schedule._meta.db_table} ({names}) VALUES ({marks})",  # noqa: S608
                (list(_columns(_schedule(parent, *next(crons), now=now))) for parent in parents),
            )


def _schedule(parent: Any, cron: str, zone: str, *, now: datetime) -> Schedule:
    from schedules.models import Schedule

    return Schedule(
        periodictask_ptr=parent,
        title=parent.name,
        cron_schedule=cron,
        timezone=zone,
        qlik_task_id=str(uuid.UUID(int=parent.pk)),
        armed_at=now,
        created_at=now,
    )


def _columns(schedule: Schedule) -> Iterator[object]:
    """Yield the values of the child row; Django creates rows in bulk for tables without a parent only."""
    from django.db import connection

    for field in schedule._meta.local_concrete_fields:
        yield field.get_db_prep_save(getattr(schedule, field.attname), connection)


def fill_stock(number: int) -> None:
    """Write the rows of stock periodic tasks that run daily, last a moment ago."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

    from tests.benchmarks.peer_apps import TASK

    daily = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    now = datetime.now(UTC)
    rows = [PeriodicTask(name=f"bench-{i}", task=TASK, interval=daily, last_run_at=now) for i in range(number)]
    PeriodicTask.objects.bulk_create(rows, batch_size=BATCH)
    # Its mark of the last change, without which beat does not see the first one
    PeriodicTasks.update_changed()


def fill_redbeat(number: int, *, due: datetime) -> None:
    """Save RedBeat's entries, daily ones too; the last run a day before `due`."""
    from celery.schedules import schedule
    from redbeat import RedBeatSchedulerEntry
    from redbeat.schedulers import get_redis

    from tests.benchmarks.peer_apps import TASK, redbeat

    scores = {}
    for i in range(number):
        entry = RedBeatSchedulerEntry(f"bench-{i}", TASK, schedule(DAY, app=redbeat), app=redbeat)
        entry.last_run_at = due - DAY
        scores[entry.save().key] = due.timestamp()
    # By the score it knows what is due. It computes it rightly when an entry has just run; for a last run in the
    # past the score is too early by that time, and RedBeat would load every entry on every pass.
    get_redis(redbeat).zadd(redbeat.redbeat_conf.schedule_key, scores)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
