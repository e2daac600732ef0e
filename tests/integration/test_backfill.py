"""Runs made up for by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules import backfill as module
from schedules import claims, runs, services
from schedules.backfill import BackfillError, backfill, preview_backfill
from schedules.changes import Origin
from schedules.maintenance import MaintenanceError, begin_maintenance
from schedules.models import Run, Schedule, ScheduleChange
from schedules.periods import PeriodError
from schedules.services import UnknownScheduleError
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

FROM = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)
UNTIL = FROM + timedelta(minutes=4)
ANNA = Origin(ScheduleChange.Source.ADMIN, "anna")
NOT_RUN = {"skipped", "refused", "unreachable"}


def add_run(schedule: Schedule, *, minute: int, state: str, reason: str = Run.Reason.SCHEDULED) -> None:
    due_at = FROM + timedelta(minutes=minute)
    Run.objects.create(
        schedule=schedule,
        schedule_name=schedule.name,
        qlik_task_id=schedule.qlik_task_id,
        due_at=due_at,
        planned_at=due_at,
        state=state,
        reason=reason,
    )


def backfills() -> list[int]:
    """Return the minutes that were backfilled."""
    rows = Run.objects.filter(reason=Run.Reason.BACKFILL).order_by("due_at")
    return [(run.due_at - FROM) // timedelta(minutes=1) for run in rows]


def run_backfill(*schedules: Schedule, **values: object) -> int:
    given = {"from_at": FROM, "until_at": UNTIL, "origin": ANNA} | values
    return backfill([schedule.name for schedule in schedules], **given)


def test_it_plans_what_has_not_run_at_its_own_instant(make_schedule):
    schedule = make_schedule()
    before = datetime.now(UTC)

    assert run_backfill(schedule) == 5

    assert backfills() == [0, 1, 2, 3, 4], "both ends are included"
    run = Run.objects.earliest("due_at")
    assert run.pk == Run.backfill_id(schedule_pk=schedule.pk, due=int(FROM.timestamp()))
    assert (run.schedule, run.schedule_name, run.qlik_task_id) == (schedule, schedule.name, schedule.qlik_task_id)
    assert (run.state, run.due_at, run.message) == ("planned", FROM, "Backfill, asked for by anna, admin.")
    assert before <= run.planned_at <= datetime.now(UTC)


def test_fractions_of_a_second_do_not_widen_the_time(make_schedule):
    schedule = make_schedule()
    a_bit = timedelta(milliseconds=1)

    run_backfill(schedule, from_at=FROM + a_bit, until_at=UNTIL - a_bit)

    assert backfills() == [1, 2, 3]


@pytest.mark.parametrize("state", Run.State.values)
@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "manual", "repeated"])
def test_what_has_run_or_is_about_to_is_left_out_and_what_was_not_started_is_not(make_schedule, reason, state):
    schedule = make_schedule()
    add_run(schedule, minute=2, state=state, reason=reason)

    (preview,) = preview_backfill([schedule.name], from_at=FROM, until_at=UNTIL)
    found = preview.occurrences[2]
    assert (found.state, found.reason, found.has_run) == (state, reason, state not in NOT_RUN)
    assert preview.count_states() == {"missing": 4, state: 1}

    assert run_backfill(schedule) == len(preview.list_wanted())
    assert (2 in backfills()) is (state in NOT_RUN)


def test_of_several_runs_of_an_instant_the_one_that_started_counts(make_schedule):
    schedule = make_schedule()
    add_run(schedule, minute=1, state="skipped")
    add_run(schedule, minute=1, state="started", reason="manual")
    add_run(schedule, minute=2, state="refused")
    add_run(schedule, minute=2, state="unreachable", reason="catch-up")

    (preview,) = preview_backfill([schedule.name], from_at=FROM, until_at=UNTIL)

    assert [found.state for found in preview.occurrences[:2]] == ["", "started"]
    assert [found.is_wanted(again=False) for found in preview.occurrences] == [True, False, True, True, True]


def test_again_runs_what_has_run(make_schedule):
    schedule = make_schedule()
    add_run(schedule, minute=3, state="started")

    assert run_backfill(schedule) == 4
    assert run_backfill(schedule, again=True) == 1
    assert backfills() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("state", Run.State.values)
def test_the_same_call_again_makes_what_was_not_started_and_never_what_was_or_may_have_been(
    make_schedule, again, state
):
    schedule = make_schedule()
    run_backfill(schedule)
    for number in range(1, 4):
        Run.objects.update(state=state)
        (preview,) = preview_backfill([schedule.name], from_at=FROM, until_at=UNTIL)

        wanted = 5 if state in NOT_RUN else 0
        assert len(preview.list_wanted(again=again)) == preview.count_runs(again=again) == wanted
        assert run_backfill(schedule, again=again) == wanted
        assert run_backfill(schedule, again=again) == 0, "while they are about to run, there is nothing to make"
        assert Run.objects.count() == 5 + number * wanted


def test_a_second_backfill_makes_only_what_the_first_could_not(make_schedule):
    schedule = make_schedule()
    run_backfill(schedule)
    states = ["succeeded", "unreachable", "unknown", "skipped", "retrying"]
    for minute, state in enumerate(states):
        Run.objects.filter(due_at=FROM + timedelta(minutes=minute)).update(state=state)

    for again in (False, True):
        assert run_backfill(schedule, again=again) == 2
        assert backfills() == [0, 1, 1, 2, 3, 3, 4]
        Run.objects.filter(state="planned").delete()


def test_one_that_was_run_again_in_vain_can_be_run_again(make_schedule):
    schedule = make_schedule()
    for minute in range(5):
        add_run(schedule, minute=minute, state="succeeded")
    run_backfill(schedule, again=True)
    Run.objects.filter(reason=Run.Reason.BACKFILL).update(state="unreachable")

    assert run_backfill(schedule) == 0
    assert run_backfill(schedule, again=True) == 5


def test_a_key_is_never_taken_twice_though_older_runs_are_gone(make_schedule):
    schedule = make_schedule()
    for _ in range(3):
        run_backfill(schedule, until_at=FROM)
        Run.objects.update(state="refused")
    first = Run.backfill_id(schedule_pk=schedule.pk, due=int(FROM.timestamp()))
    Run.objects.get(pk=first).delete()

    assert [run_backfill(schedule, until_at=FROM), Run.objects.count()] == [1, 3]
    Run.objects.update(state="refused")
    assert [run_backfill(schedule, until_at=FROM), Run.objects.count()] == [1, 4]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_backfill_at_the_same_time_one_makes_each_run(make_schedule):
    schedule = make_schedule()
    run_backfill(schedule)
    Run.objects.update(state="unreachable")
    ready, planned = threading.Barrier(4), []

    def fill() -> None:
        ready.wait()
        planned.append(run_backfill(schedule))
        connection.close()

    callers = [threading.Thread(target=fill) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert sorted(planned) == [0, 0, 0, 5]
    assert Run.objects.count() == 10


def test_it_goes_by_the_timetable_of_today_with_jitter_and_excluded_days(make_schedule):
    schedule = make_schedule(
        cron_schedule="0 6 * * *", timezone="UTC", jitter=timedelta(hours=3), excluded_dates=["2024-03-05"]
    )
    due = list(schedule.timetable.between(FROM.timestamp() - 1, (FROM + timedelta(days=3)).timestamp()))

    run_backfill(schedule, until_at=FROM + timedelta(days=3))

    assert [int(run.due_at.timestamp()) for run in Run.objects.order_by("due_at")] == due
    assert len(due) in (2, 3)


def test_a_stopped_paused_or_used_up_schedule_is_backfilled_all_the_same(make_schedule):
    schedule = make_schedule(startup_state="stopped")
    Schedule.objects.update(paused_until=datetime.now(UTC) + timedelta(days=9), max_runs=1, runs_planned=1)

    assert run_backfill(schedule) == 5

    Run.objects.update(state="queued")
    claimed = claims.claim_runs([run.pk for run in Run.objects.all()], worker="w", now=datetime.now(UTC))
    assert len(claimed) == 5, "neither the stop nor the misfire policy drops what was asked for by hand"


def test_many_schedules_take_few_queries(make_schedule):
    schedules = [make_schedule() for _ in range(30)]

    with CaptureQueriesContext(connection) as queries:
        assert run_backfill(*schedules) == 150

    # Schedules and ledger; then under the lock the lock itself, maintenance, ledger, schedules; and the rows
    statements = [query["sql"].split()[0] for query in queries]
    # PostgreSQL reads what may be long through a cursor that it declares
    assert statements.count("SELECT") + statements.count("DECLARE") == 6
    assert statements.count("INSERT") <= 2


def test_a_day_of_ten_thousand_runs_can_be_made_up_for_at_once(make_schedule):
    schedule = make_schedule(cron_schedule="*/9 * * * * *")

    assert run_backfill(schedule, until_at=FROM + timedelta(hours=23)) == 9_661


def test_too_many_runs_are_refused_with_their_number(make_schedule, monkeypatch):
    monkeypatch.setattr(module, "MOST_RUNS", 9)
    schedules = [make_schedule(), make_schedule()]

    with pytest.raises(BackfillError, match=r"That would be 10 runs, and one call makes at most 9. Give a later from"):
        run_backfill(*schedules)

    assert not Run.objects.exists()


def test_it_looks_at_so_many_occurrences_and_no_more(make_schedule, monkeypatch):
    monkeypatch.setattr(module, "MOST_OCCURRENCES", 9)
    schedules = [make_schedule(), make_schedule()]

    with pytest.raises(BackfillError, match="due more than 9 times from 2024-03-04T06:00:00Z until 2024-03-04T06:04"):
        preview_backfill([s.name for s in schedules], from_at=FROM, until_at=UNTIL)


def test_decades_of_seconds_are_refused_soon(make_schedule):
    schedule = make_schedule(cron_schedule="* * * * * *")

    with pytest.raises(BackfillError, match="more than 100,000 times"):
        run_backfill(schedule, from_at=datetime(1990, 1, 1, tzinfo=UTC))


def test_the_future_is_refused(make_schedule):
    schedule = make_schedule()

    with pytest.raises(PeriodError, match=r"until: 2999-01-01T00:00:00Z is in the future.*not later than now, 20"):
        run_backfill(schedule, until_at=datetime(2999, 1, 1, tzinfo=UTC))
    with pytest.raises(PeriodError, match="is before from"):
        run_backfill(schedule, until_at=FROM - timedelta(seconds=1))


def test_the_moment_itself_is_not_the_future(make_schedule, monkeypatch):
    schedule = make_schedule()
    now = UNTIL + timedelta(microseconds=999_999)
    monkeypatch.setattr(timezone, "now", lambda: now)

    assert preview_backfill([schedule.name], from_at=FROM, until_at=now)
    with pytest.raises(PeriodError, match=f"not later than now, {UNTIL:%Y-%m-%dT%H:%M:%S}Z"):
        preview_backfill([schedule.name], from_at=FROM, until_at=now + timedelta(microseconds=1))


@pytest.mark.parametrize("public_id", ["nobody", "a\0b"])
def test_an_unknown_schedule_is_named_and_nothing_is_planned(make_schedule, public_id):
    schedule = make_schedule()

    with pytest.raises(UnknownScheduleError, match="no schedule with the id"):
        backfill([schedule.name, public_id], from_at=FROM, until_at=UNTIL, origin=ANNA)

    assert not Run.objects.exists()


def test_a_broken_schedule_is_named_with_what_is_wrong(make_schedule):
    schedule = make_schedule()
    Schedule.objects.update(cron_schedule="61 * * * *")

    with pytest.raises(BackfillError, match=f"{schedule.name}' is broken: .*61.* Correct it first, or leave it out"):
        run_backfill(schedule)


def test_what_happens_between_the_look_and_the_lock_counts(make_schedule, monkeypatch):
    schedule, doomed = make_schedule(), make_schedule()
    edit = module.editing

    def interfere():
        monkeypatch.setattr(module, "editing", edit)
        add_run(schedule, minute=1, state="queued")
        services.delete_schedules([doomed.name], origin=ORIGIN)
        return edit()

    monkeypatch.setattr(module, "editing", interfere)

    assert run_backfill(schedule, doomed) == 4
    assert backfills() == [0, 2, 3, 4]


def test_beat_waits_for_few_rows_at_a_time(make_schedule, monkeypatch):
    monkeypatch.setattr(module, "_PART_SIZE", 2)
    parts: list[int] = []
    plan = runs.plan_runs
    monkeypatch.setattr(runs, "plan_runs", lambda rows, now: (parts.append(len(rows)), plan(rows, now=now)))

    assert run_backfill(make_schedule()) == 5
    assert parts == [2, 2, 1]


def test_beat_is_woken_once_the_rows_are_there(make_schedule, monkeypatch, django_capture_on_commit_callbacks):
    schedule = make_schedule()
    calls: list[int] = []
    monkeypatch.setattr("schedules.editing.wake_beat", lambda: calls.append(Run.objects.count()))

    with django_capture_on_commit_callbacks(execute=True):
        run_backfill(schedule)

    assert calls == [5]


def test_whoever_has_no_name_is_somebody(make_schedule):
    run_backfill(make_schedule(), origin=Origin(ScheduleChange.Source.COMMAND))

    assert Run.objects.first().message == "Backfill, asked for by somebody, command line."


def test_during_a_maintenance_nothing_is_planned(make_schedule):
    schedule = make_schedule()
    begin_maintenance(until=None, reason="New disks", origin=ORIGIN)

    with pytest.raises(MaintenanceError, match=r"New disks.* Nothing is started until it ends"):
        run_backfill(schedule)

    assert not Run.objects.exists()
