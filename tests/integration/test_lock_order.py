"""Steps of many rows side by side: none waits for another that waits for it, and none undoes what another has done."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from schedules import claims, runs, services
from schedules.models import Run, Schedule
from tests.conftest import ORIGIN
from tests.integration.locks import needs_row_locks, take_lock_of_row, waiting_thread

pytestmark = [pytest.mark.django_db(transaction=True), needs_row_locks]

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
LOW, HIGH = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def two_rows(make_schedule) -> str:
    """Two runs of a schedule, whose id is returned: every order but that of their keys has the high one first."""
    schedule = make_schedule()
    for key, due_at in ((HIGH, NOW - timedelta(seconds=9)), (LOW, NOW)):
        make_run(schedule, key, due_at, Run.State.QUEUED).save(force_insert=True)
    return schedule.name


def make_run(schedule: Schedule, key: uuid.UUID, due_at: datetime, state: Run.State) -> Run:
    return Run(
        pk=key,
        schedule=schedule,
        schedule_name=schedule.name,
        qlik_task_id=schedule.qlik_task_id,
        due_at=due_at,
        planned_at=due_at,
        queued_at=due_at,
        next_try_at=due_at,
        reason=Run.Reason.SCHEDULED,
        state=state,
    )


def fill_ledger() -> None:
    """Make the ledger so large that PostgreSQL looks rows up by their keys."""
    schedule = Schedule.objects.get()
    before = NOW - timedelta(days=1)
    Run.objects.bulk_create(make_run(schedule, uuid.uuid4(), before, Run.State.SUCCEEDED) for _ in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE schedules_run")


def record() -> None:
    outcomes = [runs.Outcome(id=key, state=Run.State.STARTED, called_at=NOW, answered_at=NOW) for key in (HIGH, LOW)]
    runs.record_outcomes(outcomes)


STEPS = {
    "claim": ("queued", lambda name: claims.claim_runs([HIGH, LOW], worker="w", now=NOW)),
    "record": ("claimed", lambda name: record()),
    "send all again": ("queued", lambda name: runs.requeue_all()),
    "send lost ones again": ("queued", lambda name: runs.requeue_lost_messages(now=NOW + timedelta(hours=1))),
    "give back": ("queued", lambda name: runs.give_back([HIGH.hex, LOW.hex])),
    "resume": ("retrying", lambda name: runs.resume_due(now=NOW)),
    "stop": ("queued", lambda name: services.stop_schedules([name], origin=ORIGIN)),
    "maintenance": ("queued", lambda name: runs.skip_all_unclaimed(message="")),
    "give up": ("claimed", lambda name: claims.give_up_lost_claims(now=NOW, limit=timedelta(0), lost_workers=[""])),
}


@pytest.mark.parametrize("step", STEPS)
def test_who_waits_for_the_first_row_holds_no_other(two_rows, step):
    state, work = STEPS[step]
    Run.objects.update(state=state, claimed_at=NOW)
    if step == "record":
        fill_ledger()

    with transaction.atomic():
        take_lock_of_row(Run.objects.filter(pk=LOW))
        thread = waiting_thread(lambda: work(two_rows))
        take_lock_of_row(Run.objects.filter(pk=HIGH))
    thread.join(30)

    assert not thread.is_alive()
    assert state not in set(Run.objects.filter(pk__in=[LOW, HIGH]).values_list("state", flat=True)), "it went on"


@pytest.mark.parametrize("step", [*STEPS, "take"])
def test_a_row_that_moves_on_while_a_step_waits_for_it_stays_where_it_went(two_rows, step):
    state, work = STEPS.get(step, ("planned", lambda name: runs.take_planned(most=9, now=NOW)))
    Run.objects.update(state=state, claimed_at=NOW)
    if step == "record":
        fill_ledger()

    with transaction.atomic():
        Run.objects.filter(pk=LOW).update(state=Run.State.FAILED, message="moved on")
        thread = waiting_thread(lambda: work(two_rows))
    thread.join(30)

    moved, other = Run.objects.get(pk=LOW), Run.objects.get(pk=HIGH)
    assert (moved.state, moved.message, moved.attempts) == ("failed", "moved on", 0)
    assert other.state != state, "the other one did not wait for nothing"


def test_one_taker_of_planned_rows_leaves_those_of_another(two_rows):
    Run.objects.update(state=Run.State.PLANNED)
    taken: list[str] = []

    with transaction.atomic():
        assert runs.take_planned(most=1, now=NOW) == [HIGH.hex]
        thread = waiting_thread(lambda: taken.extend(runs.take_planned(most=1, now=NOW)))
    thread.join(30)

    assert HIGH.hex not in taken
