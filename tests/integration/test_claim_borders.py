"""The moments at which decisions about claims turn: on the border one thing, beside it the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone

from schedules import claims, runs, services
from schedules.claims import LIVING_LIMIT, ClaimedRun
from schedules.models import Maintenance, Run, Schedule
from schedules.policies import LONGEST_WAIT, Retry
from schedules.schedule_rules import read_rules
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
A_BIT = timedelta(microseconds=1000)
GRACE = timedelta(seconds=60)


@pytest.fixture
def make_run(make_schedule):
    """Return a function that writes a run of one schedule."""
    schedule = make_schedule()

    def make(**values: object) -> Run:
        given = {"due_at": NOW, "planned_at": NOW, "reason": Run.Reason.SCHEDULED, "state": Run.State.QUEUED} | values
        return Run.objects.create(
            schedule=schedule, schedule_name=schedule.name, qlik_task_id=schedule.qlik_task_id, **given
        )

    return make


def claim(*claimable: Run, now: datetime = NOW) -> list[UUID]:
    return [run.id for run in claims.claim_runs([run.pk for run in claimable], worker="w", now=now)]


@pytest.mark.parametrize("misfire", ["skip", "once"])
@pytest.mark.parametrize(("late", "is_claimed"), [(GRACE, True), (GRACE + A_BIT, False)])
def test_as_late_as_the_grace_is_on_time(make_run, misfire, late, is_claimed):
    Schedule.objects.update(misfire=misfire)
    run = make_run()
    make_run(due_at=NOW + timedelta(seconds=1), state=Run.State.PLANNED)

    assert bool(claim(run, now=NOW + late)) is is_claimed


@pytest.mark.parametrize("state", ["planned", "queued", "claimed", "started", "succeeded", "failed", "unsure"])
@pytest.mark.parametrize(("later", "is_claimed"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_one_that_is_due_at_the_same_instant_replaces_none(make_run, later, is_claimed, state):
    run = make_run()
    make_run(due_at=NOW + later, state=state)

    assert bool(claim(run, now=NOW + GRACE + A_BIT)) is is_claimed


@pytest.mark.parametrize("state", ["skipped", "refused", "unreachable"])
def test_one_that_did_not_run_replaces_none(make_run, state):
    run = make_run()
    make_run(due_at=NOW + timedelta(seconds=1), state=state)

    assert claim(run, now=NOW + GRACE + A_BIT)


@pytest.mark.parametrize("reason", [Run.Reason.MANUAL, Run.Reason.BACKFILL, Run.Reason.API])
def test_what_somebody_asked_for_replaces_no_occurrence(make_run, reason):
    run = make_run()
    make_run(due_at=NOW + timedelta(seconds=1), reason=reason)

    assert claim(run, now=NOW + GRACE + A_BIT)


def test_a_run_of_another_schedule_replaces_none(make_run, make_schedule):
    run, other = make_run(), make_schedule()
    Run.objects.create(
        schedule=other, qlik_task_id=TASK_ID, due_at=NOW + GRACE, planned_at=NOW, reason=Run.Reason.SCHEDULED
    )

    assert claim(run, now=NOW + GRACE + A_BIT)


@pytest.mark.parametrize(("until", "is_claimed"), [(NOW, True), (NOW + A_BIT, False)])
def test_a_pause_ends_with_its_last_moment(make_run, until, is_claimed):
    Schedule.objects.update(paused_until=until)

    assert bool(claim(make_run())) is is_claimed


@pytest.mark.parametrize(
    ("began_at", "ended_at", "is_claimed"),
    [
        (NOW, None, False),
        (NOW + A_BIT, None, True),
        (NOW - GRACE, NOW, True),
        (NOW - GRACE, NOW + A_BIT, False),
    ],
)
def test_a_maintenance_counts_from_its_first_moment_up_to_its_end(make_run, began_at, ended_at, is_claimed):
    Maintenance.objects.create(began_at=began_at, ended_at=ended_at)

    assert bool(claim(make_run())) is is_claimed


@pytest.mark.parametrize(("until", "state"), [(NOW, "unreachable"), (NOW + A_BIT, "retrying")])
def test_at_the_deadline_nothing_waits_for_qrs_any_more(make_run, until, state):
    run = make_run()
    (claimed,) = claims.claim_runs([run.pk], worker="w", now=NOW)
    ends = {column: getattr(claimed, column) for column in ClaimedRun.__slots__} | {"retry": Retry(until=until)}

    claims.postpone([ClaimedRun(**ends)], until=NOW + GRACE, message="away", now=NOW)

    run.refresh_from_db()
    assert (run.state, run.next_try_at) == (state, until if state == "retrying" else None)


def test_it_waits_for_qrs_no_longer_than_is_asked_for(make_run):
    run = make_run()
    claimed = claims.claim_runs([run.pk], worker="w", now=NOW)

    claims.postpone(claimed, until=NOW + GRACE, message="away", now=NOW)

    run.refresh_from_db()
    assert (run.state, run.next_try_at, run.message) == ("retrying", NOW + GRACE, "away")


LIMIT = timedelta(minutes=2)


@pytest.mark.parametrize(
    ("claimed", "renewed", "living", "is_lost"),
    [
        (LIMIT, None, (), False),
        (LIMIT + A_BIT, None, (), True),
        (LIMIT + A_BIT, LIMIT, (), False),
        (LIMIT + 2 * A_BIT, LIMIT + A_BIT, (), True),
        # Renewed before it was claimed: by a claim before this one
        (LIMIT, LIMIT + A_BIT, (), False),
        (LIMIT + A_BIT, None, ("w",), False),
        (LIMIT + A_BIT, None, ("another",), True),
        (LIVING_LIMIT, None, ("w",), False),
        (LIVING_LIMIT + A_BIT, None, ("w",), True),
    ],
)
def test_a_claim_is_lost_when_nobody_has_renewed_it_for_longer_than_the_limit(
    make_run, claimed, renewed, living, is_lost
):
    make_run(
        state=Run.State.CLAIMED,
        worker="w",
        claimed_at=NOW - claimed,
        claim_renewed_at=None if renewed is None else NOW - renewed,
    )

    assert claims.give_up_lost_claims(now=NOW, limit=LIMIT, living_workers=living) == is_lost


@pytest.mark.parametrize(
    ("next_try_at", "is_due"),
    [
        (NOW, True),
        (NOW + A_BIT, False),
        (NOW + LONGEST_WAIT, False),
        (NOW + LONGEST_WAIT + A_BIT, True),
    ],
)
@pytest.mark.parametrize("state", ["retrying", "waiting"])
def test_what_waits_is_planned_again_at_its_moment(make_run, next_try_at, is_due, state):
    make_run(state=state, next_try_at=next_try_at)

    assert runs.resume_due(now=NOW) == is_due


@pytest.mark.parametrize("state", sorted(set(Run.State) - {"retrying", "waiting"}))
def test_nothing_else_is_planned_again(make_run, state):
    make_run(state=state, next_try_at=NOW)

    assert runs.resume_due(now=NOW) == 0


@pytest.mark.parametrize("state", sorted(set(Run.State) - {"planned", "queued", "retrying", "waiting"}))
def test_a_stop_leaves_alone_what_a_worker_has_or_had(make_run, state):
    run = make_run(state=state)

    assert runs.skip_unclaimed([run.schedule_id], message="") == 0
    assert runs.skip_all_unclaimed(message="") == 0


@pytest.mark.parametrize("state", ["planned", "queued", "retrying", "waiting"])
@pytest.mark.parametrize("reason", [Run.Reason.SCHEDULED, Run.Reason.CATCH_UP, Run.Reason.REPEATED])
def test_a_stop_skips_every_occurrence_that_is_still_to_come_to_a_worker(make_run, state, reason):
    run = make_run(state=state, reason=reason)

    assert runs.skip_unclaimed([run.schedule_id], message="stopped") == 1

    run.refresh_from_db()
    assert (run.state, run.message) == ("skipped", "stopped")
    assert abs(timezone.now() - run.closed_at) < timedelta(minutes=1)


def test_a_stop_of_none_skips_none(make_run):
    run = make_run()

    assert runs.skip_unclaimed([], message="") == 0

    run.refresh_from_db()
    assert run.state == "queued"


@pytest.mark.parametrize("most_named", [1, 2, 100])
def test_a_stop_of_many_skips_theirs_and_no_others(make_schedule, monkeypatch, most_named):
    """More schedules than can be named in a statement are told apart otherwise."""
    monkeypatch.setattr(runs, "_MOST_NAMED", most_named)
    monkeypatch.setattr(runs, "_MOVE_SIZE", 2)
    schedules = [make_schedule() for _ in range(4)]
    for schedule in schedules:
        for _ in range(3):
            Run.objects.create(
                schedule=schedule,
                qlik_task_id=TASK_ID,
                due_at=NOW,
                planned_at=NOW,
                reason=Run.Reason.SCHEDULED,
                state=Run.State.QUEUED,
            )
    stopped = schedules[:2]

    assert runs.skip_unclaimed([schedule.pk for schedule in stopped], message="stopped") == 6

    skipped = Run.objects.filter(state="skipped").values_list("schedule_id", flat=True)
    assert sorted(skipped) == sorted(schedule.pk for schedule in stopped for _ in range(3))
    assert Run.objects.filter(state="queued").count() == 6


@pytest.mark.parametrize("state", sorted(set(Run.State) - {"claimed"}))
def test_only_a_claim_is_released_renewed_or_given_up(make_run, state):
    run = make_run()
    claimed = claims.claim_runs([run.pk], worker="w", now=NOW)
    Run.objects.update(state=state)

    claims.release_claims(claimed)
    claims.renew_claims(claimed, now=NOW)
    claims.give_up_lost_claims(now=NOW, limit=timedelta(0), lost_workers=["w"])

    run.refresh_from_db()
    assert (run.state, run.claim_renewed_at) == (state, None)


@pytest.fixture
def asked_for(make_run):
    """Return a function that plans a run that somebody asks for now, of the one schedule."""

    def make(reason: Run.Reason) -> Run:
        now = timezone.now()
        return make_run(reason=reason, due_at=now, planned_at=now)

    return make


def close(run: Run, how: str) -> None:
    if how == "stop":
        services.stop_schedules([run.schedule_name], origin=ORIGIN)
    elif how == "delete":
        services.delete_schedules([run.schedule_name], origin=ORIGIN)
    else:
        until = timezone.now() + timedelta(hours=1)
        services.pause_schedules([run.schedule_name], until=until, reason="", origin=ORIGIN)


def hand_back_and_send_again(run: Run) -> None:
    claims.release_claims(claims.claim_runs([run.pk], worker="w", now=timezone.now()))
    Run.objects.filter(pk=run.pk).update(state=Run.State.QUEUED)


@pytest.mark.parametrize("reason", [Run.Reason.MANUAL, Run.Reason.BACKFILL])
@pytest.mark.parametrize("how", ["stop", "pause", "delete"])
class TestAskedFor:
    """What somebody asked for is dropped where its schedule was closed while a worker had it, and else started."""

    def test_what_a_worker_had_is_not_started_after_its_schedule_was_closed(self, asked_for, reason, how):
        run = asked_for(reason)
        claimed = claims.claim_runs([run.pk], worker="w", now=timezone.now())
        close(run, how)
        claims.release_claims(claimed)
        Run.objects.filter(pk=run.pk).update(state=Run.State.QUEUED)

        assert not claim(run, now=timezone.now())

        run.refresh_from_db()
        assert (run.state, run.closed_at is not None) == ("skipped", True)

    def test_what_was_asked_for_since_is_started_however_often_it_is_handed_back(self, asked_for, reason, how):
        first = asked_for(reason)
        close(first, how)
        run = asked_for(reason)
        hand_back_and_send_again(run)

        assert claim(run, now=timezone.now()) == [run.pk]

    def test_what_a_worker_had_goes_on_when_the_schedule_does(self, asked_for, reason, how):
        if how == "delete":
            pytest.skip("it does not come back")
        run = asked_for(reason)
        claimed = claims.claim_runs([run.pk], worker="w", now=timezone.now())
        close(run, how)
        (services.start_schedules if how == "stop" else services.resume_schedules)([run.schedule_name], origin=ORIGIN)
        claims.release_claims(claimed)
        Run.objects.filter(pk=run.pk).update(state=Run.State.QUEUED)

        assert claim(run, now=timezone.now()) == [run.pk]


def test_a_database_that_is_away_is_no_schedule_that_is_broken(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(Schedule.objects, "filter", fail)

    with pytest.raises(OperationalError):
        read_rules([1, 2])


def test_a_schedule_that_cannot_be_read_keeps_no_other_from_its_rules(make_schedule, monkeypatch):
    broken, sound = make_schedule(), make_schedule()
    find = Schedule.objects.filter

    def read(*, pk__in: list[int]) -> object:
        if broken.pk in pk__in:
            raise ValueError("this is no duration")
        return find(pk__in=pk__in)

    monkeypatch.setattr(Schedule.objects, "filter", read)

    assert read_rules([broken.pk, sound.pk]).keys() == {sound.pk}
