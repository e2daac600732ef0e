"""The wall clock is turned while beat plans."""

from __future__ import annotations

import pytest

from schedules.models import Lease, Run, Schedule, from_epoch
from tests.integration.test_planner import NOON, at_noon, lead, loaded, plan  # noqa: F401 -- a fixture among them

pytestmark = pytest.mark.django_db

HOUR = 3600


def planned_second_by_second(planner, start: float, count: int) -> list[Run]:
    return [run for second in range(count) for run in plan(planner, start + second)]


def test_a_wildcard_schedule_follows_a_clock_that_is_set_back(at_noon):  # noqa: F811
    at_noon(cron_schedule="* * * * * *")
    planner = loaded()
    before = planned_second_by_second(planner, NOON, 10)

    # As on any start: what is due at the very instant that planning begins at is not waited for
    again = planned_second_by_second(planner, NOON - 2 * HOUR, 10)

    assert [run.reason for run in before] == ["scheduled"] * 10
    assert [run.due_at.timestamp() for run in again] == [NOON - 2 * HOUR + second for second in range(1, 10)]
    assert {run.reason for run in again} == {"repeated"}
    assert len({run.pk for run in [*before, *again]}) == len(before) + len(again)


def test_a_fixed_time_does_not_come_twice_when_the_clock_is_set_back(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 12 * * *", timezone="UTC")
    planner = loaded()
    assert len(plan(planner, NOON)) == 1

    plan(planner, NOON - 2 * HOUR)
    assert plan(planner, NOON) == []

    assert Run.objects.count() == 1
    assert planner.next_due() == NOON + 24 * HOUR


def test_a_time_that_had_not_run_before_the_clock_was_set_back_runs_as_usual(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 13 * * *", timezone="UTC")
    at_noon(cron_schedule="* * * * *", timezone="UTC")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON - 2 * HOUR)

    planned = plan(planner, NOON + HOUR)

    assert ("scheduled", NOON + HOUR) in {(run.reason, run.due_at.timestamp()) for run in planned}


def test_the_next_leader_knows_that_the_clock_was_set_back(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 * * * *", timezone="UTC")
    planner = loaded()
    plan(planner, NOON)
    plan(planner, NOON - 2 * HOUR)

    after = loaded(lead("second"), now=NOON - 1.5 * HOUR)
    planned = plan(after, NOON - HOUR) + plan(after, NOON) + plan(after, NOON + HOUR)

    reasons = [(run.due_at.timestamp() - NOON, run.reason) for run in planned]
    assert reasons == [(-HOUR, "repeated"), (0, "repeated"), (HOUR, "scheduled")]
    assert Lease.objects.get().clock_sets == 1


def test_a_clock_set_back_twice_repeats_twice(at_noon):  # noqa: F811
    at_noon(cron_schedule="0 * * * *", timezone="UTC")
    planner = loaded()
    plan(planner, NOON)
    for _ in range(2):
        plan(planner, NOON - 0.5 * HOUR)
        assert [run.reason for run in plan(planner, NOON)] == ["repeated"]

    assert Run.objects.filter(due_at=Run.objects.earliest("due_at").due_at).count() == 3


def test_a_clock_that_is_set_back_a_little_is_waited_out(at_noon):  # noqa: F811
    at_noon(cron_schedule="* * * * * *")
    planner = loaded()
    planned_second_by_second(planner, NOON, 30)

    assert planned_second_by_second(planner, NOON - 20, 50) == []
    assert len(planned_second_by_second(planner, NOON + 30, 5)) == 5


@pytest.mark.parametrize("step", [2 * HOUR, 24 * HOUR])
def test_a_clock_that_is_set_forward_causes_no_storm_and_no_silence(at_noon, step):  # noqa: F811
    at_noon(cron_schedule="0 * * * * *")
    planner = loaded()
    plan(planner, NOON)

    at_once = plan(planner, NOON + step + 90)
    after = plan(planner, NOON + step + 120)

    assert [run.due_at.timestamp() for run in at_once] == [NOON + step + 60]
    assert [run.due_at.timestamp() for run in after] == [NOON + step + 120]


def test_a_clock_that_is_set_back_brings_back_what_was_noted_ahead_and_nothing_else(at_noon):  # noqa: F811
    before, ahead = at_noon(cron_schedule="@yearly"), at_noon(cron_schedule="@yearly")
    at_noon(cron_schedule="* * * * *")
    planner = loaded()
    plan(planner, NOON + 2 * HOUR)
    Schedule.objects.filter(pk=ahead.pk).update(armed_at=from_epoch(NOON + HOUR))
    noted = {}
    for state in ("planned", "queued", "claimed", "started"):
        for hour in (-1, 1):
            moment = from_epoch(NOON + hour * HOUR)
            run = Run.objects.create(
                schedule=before,
                qlik_task_id=before.qlik_task_id,
                due_at=from_epoch(NOON - HOUR),
                planned_at=from_epoch(NOON - HOUR),
                reason="manual",
                state=state,
                queued_at=moment,
                claimed_at=moment,
                claim_renewed_at=moment,
            )
            noted[run.pk] = (state, hour)

    plan(planner, NOON)

    def hours_of(moment: object) -> float:
        return (moment.timestamp() - NOON) / HOUR

    after = {noted[run.pk]: run for run in Run.objects.filter(pk__in=noted)}
    assert {key: hours_of(run.queued_at) for key, run in after.items()} == {
        (state, hour): 0 if (state, hour) == ("queued", 1) else hour for state, hour in noted.values()
    }
    for column in ("claimed_at", "claim_renewed_at"):
        assert {key: hours_of(getattr(run, column)) for key, run in after.items()} == {
            (state, hour): 0 if (state, hour) == ("claimed", 1) else hour for state, hour in noted.values()
        }
    assert Schedule.objects.get(pk=before.pk).armed_at == from_epoch(NOON - 1)
    assert Schedule.objects.get(pk=ahead.pk).armed_at == from_epoch(NOON)
