"""Races on PostgreSQL: steps of many rows lock them in the order of their keys, and never wait for each other."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import Error, connection, connections, transaction
from django.utils import timezone

from schedules import alert_queue, breaker, claims, following, known_tasks, runs, set_backs, stopping
from schedules.alert_models import AlertMessage
from schedules.models import QlikTask, QrsSite, Run
from tests.conftest import ORIGIN, TASK_ID
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite locks the whole database"),
]

NUMBER = 40
KEYS = [uuid.UUID(int=number) for number in range(1, NUMBER + 1)]


def make_runs(state: Run.State, **values: object) -> None:
    """Write runs whose place in the table, and whose due instants, are in the other order than their keys."""
    now = timezone.now()
    rows = [
        Run(
            pk=key,
            qlik_task_id=TASK_ID,
            due_at=now - timedelta(seconds=key.int),
            planned_at=now,
            reason=Run.Reason.MANUAL,
            state=state,
            qrs_session=uuid.uuid4(),
            **values,
        )
        for key in reversed(KEYS)
    ]
    for row in rows:
        row.save(force_insert=True)


def race(
    step: Callable[[], object], rival: Callable[[], object], *, model: type[Run | AlertMessage | QlikTask], pk: object
) -> None:
    """Let two steps wait for the same row, of which each has locked others by then, and then go on."""
    errors: list[Error] = []

    def work(do: Callable[[], object]) -> None:
        try:
            do()
        except Error as error:
            errors.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=[do]) for do in (step, rival)]
    with transaction.atomic():
        model.objects.select_for_update().get(pk=pk)
        for number, worker in enumerate(workers, 1):
            worker.start()
            wait_for(lambda number=number: count_waiting() == number, seconds=10, what=f"{number} to wait")
    for worker in workers:
        worker.join(20)
    assert errors == []


def count_waiting() -> int:
    with connection.cursor() as cursor:
        # A transaction would see what it saw the first time
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'")
        (number,) = cursor.fetchone()
        return int(number)


def let_all_go_on() -> None:
    QrsSite.objects.update_or_create(pk=1, defaults={"failures": 9, "wait_until": timezone.now()})
    make_runs(Run.State.RETRYING)


def record_all() -> None:
    now = timezone.now()
    outcomes = [runs.Outcome(id=key, state=Run.State.STARTED, called_at=now, answered_at=now) for key in KEYS]
    runs.record_outcomes(outcomes)


def note_all() -> None:
    stopping._note(KEYS[::-1], origin=ORIGIN)


def resume_all() -> None:
    (closed,) = Run.objects.filter(state=Run.State.SUCCEEDED).values_list("pk", flat=True)
    following._resume_waiting([closed], now=timezone.now())


def renew_all() -> None:
    claims.renew_claims([SimpleNamespace(id=key) for key in reversed(KEYS)], now=timezone.now())


LATER = timezone.now() + timedelta(days=3)
STEPS: dict[str, tuple[Callable[[], None], Callable[[], object]]] = {
    "QRS is back": (let_all_go_on, lambda: breaker.note_success(now=timezone.now())),
    "retries are due": (
        lambda: make_runs(Run.State.RETRYING, next_try_at=timezone.now()),
        lambda: runs.resume_due(now=timezone.now()),
    ),
    "beat takes": (
        lambda: make_runs(Run.State.PLANNED),
        lambda: runs.take_planned(most=NUMBER, now=timezone.now()),
    ),
    "beat sends all again": (lambda: make_runs(Run.State.QUEUED), runs.requeue_all),
    "a worker claims": (
        lambda: make_runs(Run.State.QUEUED),
        lambda: claims.claim_runs(KEYS[::-1], worker="w", now=timezone.now()),
    ),
    "a worker records": (lambda: make_runs(Run.State.CLAIMED), record_all),
    "a worker renews": (lambda: make_runs(Run.State.CLAIMED, claimed_at=timezone.now()), renew_all),
    "claims are given up": (
        lambda: make_runs(Run.State.CLAIMED, worker="gone"),
        lambda: claims.give_up_lost_claims(now=timezone.now(), limit=timedelta(hours=1), lost_workers=["gone"]),
    ),
    "tasks have ended": (
        lambda: (
            make_runs(Run.State.WAITING),
            Run.objects.filter(pk=KEYS[0]).update(state=Run.State.SUCCEEDED, closed_at=timezone.now()),
        ),
        resume_all,
    ),
    "somebody stops": (lambda: make_runs(Run.State.STARTED), note_all),
    "somebody begins a maintenance": (
        lambda: make_runs(Run.State.PLANNED),
        lambda: runs.skip_all_unclaimed(message="maintenance"),
    ),
    "the clock was set back": (
        lambda: make_runs(Run.State.QUEUED, queued_at=LATER),
        lambda: transaction.atomic()(set_backs._bring_moments_back)(now=timezone.now()),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_and_another_over_the_same_runs_follow_one_another(name):
    prepare, step = STEPS[name]
    prepare()
    with connection.cursor() as cursor:
        # So that its planner knows the table as it knows one that is in use
        cursor.execute(f"ANALYZE {Run._meta.db_table}")

    race(step, lambda: runs.change_rows(Run.objects.all(), node="rival"), model=Run, pk=KEYS[NUMBER // 2])

    assert set(Run.objects.values_list("node", flat=True)) == {"rival"}


@pytest.mark.parametrize("step", ["try again", "give up"])
def test_steps_over_many_alerts_follow_one_another(step):
    now = timezone.now()
    for number in reversed(range(1, NUMBER + 1)):
        AlertMessage(pk=number, channel_name="c", event="failed", created_at=now, next_try_at=now).save(
            force_insert=True
        )
    steps = {
        "try again": lambda: alert_queue.try_again(AlertMessage.objects.all(), now=now),
        "give up": lambda: alert_queue._give_up(AlertMessage.objects.order_by("-pk"), now=now),
    }

    race(
        steps[step],
        lambda: alert_queue._change(AlertMessage.objects.all(), error="rival"),
        model=AlertMessage,
        pk=NUMBER // 2,
    )


def test_two_looks_at_the_tasks_follow_one_another():
    now = timezone.now()
    for number in reversed(range(NUMBER)):
        QlikTask(id=f"{number:03}", name="task", seen_at=now).save(force_insert=True)
    rows = list(QlikTask.objects.all())

    race(
        lambda: known_tasks._note_seen(now),
        lambda: known_tasks._write(rows),
        model=QlikTask,
        pk=f"{NUMBER // 2:03}",
    )


def test_four_thousand_runs_go_on_while_beat_takes_those_that_are_due():
    make_now = timezone.now()
    for part in range(8):
        Run.objects.bulk_create(
            Run(
                pk=uuid.uuid4(),
                qlik_task_id=TASK_ID,
                due_at=make_now,
                planned_at=make_now,
                reason=Run.Reason.MANUAL,
                state=Run.State.RETRYING,
                next_try_at=make_now,
                attempts=part,
            )
            for _ in range(500)
        )
    ready, errors = threading.Barrier(2), []

    def work(do: Callable[[], object]) -> None:
        try:
            ready.wait(10)
            do()
        except Error as error:
            errors.append(error)
        finally:
            connections.close_all()

    for _ in range(5):
        QrsSite.objects.update_or_create(pk=1, defaults={"failures": 9, "wait_until": timezone.now()})
        Run.objects.update(state=Run.State.RETRYING)
        steps = (lambda: breaker.note_success(now=make_now), lambda: runs.resume_due(now=make_now))
        workers = [threading.Thread(target=work, args=[do]) for do in steps]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)

    assert errors == []
    assert set(Run.objects.values_list("state", flat=True)) == {"planned"}
