"""A clock that leaps ahead for some seconds decides about nothing that has yet to come."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from schedules import absences, set_backs
from schedules.models import Absence, Lease, Run, Schedule, from_epoch
from schedules.planner import Planner
from tests.integration.test_planner import (  # noqa: F401 -- a fixture among them
    NOON,
    at_noon,
    due_instants,
    lead,
    loaded,
    plan,
)

pytestmark = pytest.mark.django_db

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400
#: Daily at one o'clock, so an hour after noon
DAILY = {"cron_schedule": "0 13 * * *", "timezone": "UTC"}


def leap(planner, seconds: float, *, at: float = NOON, back_at: float = NOON + 10) -> list[Run]:
    """Let the clock leap and come back; return the runs that it had put on their way meanwhile and that are started."""
    plan(planner, at)
    ran = plan(planner, at + seconds)
    Run.objects.filter(pk__in=[run.pk for run in ran]).update(state="succeeded")
    plan(planner, back_at)
    return ran


def started_later(planner, *, days: int, first: float = NOON + HOUR) -> list[float]:
    """Return at which of the next days, counted from `first`, a run is put on its way in its second."""
    return [day for day in range(days) if plan(planner, first + day * DAY)]


@pytest.mark.parametrize("misfire", ["once", "skip"])
@pytest.mark.parametrize("days", [1, 3, 40])
def test_daily_jobs_that_were_skipped_as_missed_run_on_their_days(at_noon, misfire, days):  # noqa: F811
    at_noon(**DAILY, misfire=misfire)
    planner = loaded()

    ran = leap(planner, days * DAY + 2 * HOUR)

    # What has run does not come again, and nothing else is missing
    early = {round((run.due_at.timestamp() - NOON - HOUR) / DAY) for run in ran}
    assert early == ({days} if misfire == "once" else set())
    assert started_later(planner, days=days + 3) == [day for day in range(days + 3) if day not in early]
    assert not Run.objects.filter(state="skipped").exists()


def test_a_leap_by_ten_years_cancels_nothing(at_noon):  # noqa: F811
    at_noon(**DAILY, misfire="skip")
    planner = loaded()

    leap(planner, 10 * YEAR)

    assert started_later(planner, days=3) == [0, 1, 2]
    assert Lease.objects.get().planned_through == from_epoch(NOON + HOUR + 2 * DAY)


def test_what_was_due_in_the_seconds_of_the_leap_runs_after_it(at_noon):  # noqa: F811
    at_noon(cron_schedule="5 0 12 * * *", timezone="UTC", misfire="skip")
    at_noon(cron_schedule="* * * * * *", misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON + 3 * DAY)

    plan(planner, NOON + 10)

    assert due_instants(due_at__gt=from_epoch(NOON), due_at__lte=from_epoch(NOON + 10)) == [
        1,
        2,
        3,
        4,
        5,
        *range(5, 11),
    ]
    assert set(Run.objects.values_list("state", "reason")) == {("planned", "scheduled")}


def test_what_ran_before_the_leap_does_not_run_again(at_noon):  # noqa: F811
    at_noon(cron_schedule="* * * * * *")
    planner = loaded()
    for second in range(5):
        plan(planner, NOON + second)
    plan(planner, NOON + 4 + 2 * HOUR)

    plan(planner, NOON + 9)

    assert due_instants(due_at__lte=from_epoch(NOON + 100)) == list(range(10))
    assert set(Run.objects.values_list("state", "reason")) == {("planned", "scheduled")}


def test_occurrences_that_share_a_row_come_one_by_one(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 * * * *", misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON + 30 * DAY + 60)
    assert Run.objects.filter(occurrences__gt=100).exists()

    plan(planner, NOON + 10)

    assert [bool(plan(planner, NOON + hour * HOUR)) for hour in (1, 2, 3)] == [True] * 3
    assert not Run.objects.filter(state="skipped").exists()


@pytest.mark.parametrize("change", ["in the leap", "after it"])
def test_another_leader_knows_it_too(at_noon, change):  # noqa: F811
    at_noon(**DAILY, misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    if change == "in the leap":
        planner = loaded(lead("second"), now=NOON + 3 * DAY)
    plan(planner, NOON + 3 * DAY)

    planner = loaded(lead("last"), now=NOON + 10)

    assert started_later(planner, days=4) == [0, 1, 2, 3]


def test_an_absence_that_was_not_settled_yet_is_forgotten(at_noon, monkeypatch):  # noqa: F811
    monkeypatch.setattr(absences, "SLICE_SIZE", 10)
    for _ in range(3):
        at_noon(cron_schedule="* * * * *", misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    list(planner.plan_due(now=NOON + 3 * DAY))
    assert planner.settle_absence(now=NOON + 3 * DAY)

    plan(planner, NOON + 10)

    assert not Absence.objects.exists()
    assert not Run.objects.filter(state="skipped").exists()
    assert len(plan(planner, NOON + 60)) == 3


def test_an_absence_that_is_real_is_settled_all_the_same(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 * * * *", timezone="UTC", misfire="skip")
    plan(loaded(), NOON)
    # Back after four hours, with a clock that is three days ahead
    planner = loaded(lead("second"), now=NOON + 4 * HOUR + 3 * DAY)
    plan(planner, NOON + 4 * HOUR + 3 * DAY)

    plan(planner, NOON + 4 * HOUR + 90)

    skipped = Run.objects.filter(state="skipped").order_by("due_at").values_list("due_at", flat=True)
    assert [due.timestamp() - NOON for due in skipped] == [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert len(plan(planner, NOON + 5 * HOUR)) == 1


def test_catch_ups_that_no_worker_has_claimed_wait_for_their_day(at_noon):  # noqa: F811
    schedule = at_noon(**DAILY, misfire="all", max_runs=10)
    planner = loaded()
    plan(planner, NOON)
    first, second, third = plan(planner, NOON + 3 * DAY)
    Run.objects.filter(pk=first.pk).update(state="claimed")
    Run.objects.filter(pk=second.pk).update(state="queued")

    plan(planner, NOON + 10)

    schedule.refresh_from_db()
    assert schedule.runs_planned == 1
    assert list(Run.objects.values_list("pk", flat=True)) == [first.pk]
    assert started_later(planner, days=4) == [1, 2, 3]
    schedule.refresh_from_db()
    assert schedule.runs_planned == 4
    assert third.pk in Run.objects.values_list("pk", flat=True)


def test_catch_ups_that_are_all_taken_back_count_for_nothing(at_noon):  # noqa: F811
    schedule = at_noon(**DAILY, misfire="all", max_runs=10)
    planner = loaded()
    plan(planner, NOON)
    assert len(plan(planner, NOON + 3 * DAY)) == 3

    plan(planner, NOON + 10)

    schedule.refresh_from_db()
    assert schedule.runs_planned == 0


def test_runs_that_were_given_up_go_on(at_noon):  # noqa: F811
    schedule = at_noon(cron_schedule="0 12 * * *", timezone="UTC", max_attempts=3)
    planner = loaded()
    (run,) = plan(planner, NOON)
    closed = {"closed_at": from_epoch(NOON + 3 * DAY)}
    Run.objects.filter(pk=run.pk).update(state="unreachable", attempts=2, **closed)
    used_up, unseen, overdue, stopped = (
        Run.objects.create(schedule=schedule, due_at=run.due_at, planned_at=run.planned_at, **closed, **values)
        for values in (
            {"state": "unreachable", "attempts": 3},
            {"state": "skipped", "message": "Misfire: no worker took it within 0:01:00."},
            {"state": "skipped", "message": "Overdue by more than 0:01:00, and a later run replaces it."},
            {"state": "skipped", "message": "The schedule was stopped before a worker took it."},
        )
    )
    plan(planner, NOON + 3 * DAY + HOUR)

    planner.load(now=NOON + 10)

    states = {row.pk: (row.state, row.closed_at) for row in Run.objects.all()}
    assert [states[row.pk] for row in (run, overdue, unseen)] == [
        ("retrying", None),
        ("retrying", None),
        ("planned", None),
    ]
    assert [states[row.pk][0] for row in (used_up, stopped)] == ["unreachable", "skipped"]
    assert Run.objects.get(pk=run.pk).next_try_at == from_epoch(NOON + 10)


def test_limits_do_not_count_from_a_moment_that_has_yet_to_come(at_noon):  # noqa: F811
    schedule = at_noon(**DAILY)
    planner = loaded()
    plan(planner, NOON + HOUR)
    ahead = from_epoch(NOON + 3 * DAY)
    Schedule.objects.filter(pk=schedule.pk).update(armed_at=ahead)
    values = {"due_at": from_epoch(NOON), "planned_at": from_epoch(NOON), "reason": "manual"}
    queued = Run.objects.create(id=uuid4(), state="queued", queued_at=ahead, **values)
    claimed = Run.objects.create(id=uuid4(), state="claimed", claimed_at=ahead, claim_renewed_at=ahead, **values)
    retrying = Run.objects.create(id=uuid4(), state="retrying", next_try_at=ahead, tried_from=ahead, **values)
    plan(planner, NOON + 3 * DAY)

    planner.load(now=NOON + HOUR + 10)

    now = from_epoch(NOON + HOUR + 10)
    assert Schedule.objects.get(pk=schedule.pk).armed_at == now
    assert Run.objects.get(pk=queued.pk).queued_at == now
    claimed.refresh_from_db()
    assert (claimed.claimed_at, claimed.claim_renewed_at) == (now, now)
    assert Run.objects.get(pk=retrying.pk).tried_from == now
    # A restart on the next day knows what was due meanwhile
    assert started_later(loaded(lead("next"), now=NOON + DAY), days=1, first=NOON + DAY + HOUR + 30) == [0]


def test_a_pause_that_the_leap_jumped_over_can_be_ended_early(at_noon):  # noqa: F811
    schedule = at_noon(**DAILY, misfire="all", paused_until=from_epoch(NOON + 2 * DAY))
    planner = loaded()
    leap(planner, 3 * DAY)
    assert not Run.objects.filter(state="skipped").exists()

    Schedule.objects.filter(pk=schedule.pk).update(paused_until=None)
    planner = loaded(lead("next"), now=NOON + 20)

    assert started_later(planner, days=2) == [0, 1]


def test_two_leaps_cancel_no_more_than_one(at_noon):  # noqa: F811
    at_noon(**DAILY, misfire="skip")
    planner = loaded()

    leap(planner, 3 * DAY)
    leap(planner, 9 * DAY, at=NOON + 20, back_at=NOON + 30)

    assert started_later(planner, days=12) == list(range(12))


def test_a_clock_that_comes_back_in_two_steps_cancels_nothing(at_noon):  # noqa: F811
    at_noon(**DAILY, misfire="skip")
    planner = loaded()

    leap(planner, 9 * DAY, back_at=NOON + 3 * DAY)
    plan(planner, NOON + 10)

    assert started_later(planner, days=12) == list(range(12))


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
def test_a_clock_that_falls_behind_for_seconds_repeats_nothing(at_noon, misfire):  # noqa: F811
    at_noon(cron_schedule="30 * * * *", misfire=misfire)
    at_noon(cron_schedule="*/20 * * * *", misfire=misfire)
    planner = loaded(now=NOON - DAY)
    Schedule.objects.update(armed_at=from_epoch(NOON - DAY))
    planner.load(now=NOON - DAY)
    for second in range(-DAY, 0, 600):
        plan(planner, NOON + second)
    before = Run.objects.count()
    plan(planner, NOON - 20 * HOUR + 60)

    plan(planner, NOON + 60)

    assert Run.objects.count() == before + 1


def test_a_leap_of_many_rows_is_taken_back_in_parts_whoever_is_killed(at_noon, monkeypatch):  # noqa: F811
    monkeypatch.setattr(set_backs, "PART_SIZE", 7)
    for _ in range(3):
        at_noon(cron_schedule="* * * * * *", misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON + 100)
    back = NOON + 20
    for number in range(3):
        # Each is killed after one part
        assert not Planner(lead(f"killed {number}"))._take_progress(now=back)

    plan(loaded(lead("last"), now=back), back)

    assert not Run.objects.filter(state="skipped").exists()
    started = Run.objects.filter(due_at__gt=from_epoch(NOON), due_at__lte=from_epoch(back))
    assert started.count() == 3 * 20


def test_a_broken_schedule_is_no_hindrance(at_noon):  # noqa: F811
    broken, sound = at_noon(**DAILY, misfire="skip"), at_noon(**DAILY, misfire="skip")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON + 3 * DAY)
    Schedule.objects.filter(pk=broken.pk).update(timezone="Europe/Atlantis", misfire_grace=timedelta(seconds=1))

    plan(planner, NOON + 10)

    assert [run.schedule_name for run in plan(planner, NOON + HOUR)] == [sound.name]
