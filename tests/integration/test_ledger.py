"""The steps of a run in the ledger."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from schedules import claims, runs, services
from schedules.claims import ClaimedRun
from schedules.models import Maintenance, Run, Schedule
from tests.conftest import ORIGIN

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.fixture
def make_run(make_schedule):
    """Return a function that writes a run of one schedule."""
    schedules: list[Schedule] = []

    def make(**values: object) -> Run:
        if not schedules:
            schedules.append(make_schedule())
        (schedule,) = schedules
        given = {"due_at": NOW, "planned_at": NOW, "reason": Run.Reason.SCHEDULED, "state": Run.State.QUEUED} | values
        given = {"schedule": schedule} | given
        return Run.objects.create(schedule_name=schedule.name, qlik_task_id=schedule.qlik_task_id, **given)

    return make


def claim(run_id: uuid.UUID, *, worker: str, now: datetime) -> list[ClaimedRun]:
    return claims.claim_runs([run_id], worker=worker, now=now)


def record(run: Run, state: Run.State = Run.State.STARTED, **values: object) -> int:
    outcome = runs.Outcome(
        id=run.pk, state=state, called_at=NOW, answered_at=NOW + timedelta(milliseconds=20), **values
    )
    return runs.record_outcomes([outcome])


@pytest.mark.django_db
class TestClaim:
    def test_a_waiting_run_is_claimed_once(self, make_run):
        run = make_run()

        (claimed,) = claim(run.pk, worker="a", now=NOW)

        row = Run.objects.get()
        assert (row.pk, row.state, row.worker, row.claimed_at) == (claimed.id, "claimed", "a", NOW)
        assert not claim(run.pk, worker="b", now=NOW)
        assert Run.objects.get().worker == "a"

    @pytest.mark.parametrize("state", sorted(set(Run.State) - {Run.State.QUEUED}))
    def test_no_other_state_can_be_claimed(self, make_run, state):
        run = make_run(state=state)

        assert not claim(run.pk, worker="a", now=NOW)
        assert Run.objects.get().state == state

    def test_a_message_without_a_row_is_passed_over(self, db):
        assert not claim(uuid.uuid4(), worker="a", now=NOW)

    def test_a_run_that_a_later_one_replaces_is_dropped_after_its_grace(self, make_run):
        old = make_run()
        make_run(due_at=NOW + timedelta(seconds=70))

        assert not claim(old.pk, worker="a", now=NOW + timedelta(seconds=75))

        old.refresh_from_db()
        assert (old.state, "a later run replaces it" in old.message) == ("skipped", True)

    def test_the_latest_run_is_started_however_late(self, make_run):
        old = make_run()
        make_run(due_at=NOW + timedelta(seconds=70), state=Run.State.SKIPPED)

        assert claim(old.pk, worker="a", now=NOW + timedelta(hours=3))

    @pytest.mark.parametrize(("misfire", "claimed"), [("all", True), ("skip", False)])
    def test_the_misfire_policy_decides_about_a_long_wait(self, make_run, misfire, claimed):
        run = make_run()
        Schedule.objects.update(misfire=misfire)

        assert bool(claim(run.pk, worker="a", now=NOW + timedelta(seconds=61))) is claimed

    @pytest.mark.parametrize("reason", [Run.Reason.MANUAL, Run.Reason.CATCH_UP])
    def test_what_was_asked_for_late_is_not_dropped_for_being_late(self, make_run, reason):
        run = make_run(reason=reason)
        make_run(due_at=NOW + timedelta(seconds=70))

        assert claim(run.pk, worker="a", now=NOW + timedelta(seconds=75))

    def test_runs_of_one_message_are_claimed_together_the_longest_due_first(self, make_run):
        later, earlier = make_run(), make_run(due_at=NOW - timedelta(seconds=1))
        taken = make_run(due_at=NOW - timedelta(seconds=2), state=Run.State.STARTED)

        claimed = claims.claim_runs([later.pk, taken.pk, earlier.pk], worker="a", now=NOW)

        assert [run.id for run in claimed] == [earlier.pk, later.pk]

    def test_a_released_run_can_be_claimed_again(self, make_run):
        run = make_run()
        claims.release_claims(claims.claim_runs([run.pk], worker="a", now=NOW))

        assert not claim(run.pk, worker="b", now=NOW), "beat publishes it first"
        assert runs.take_planned(most=1, now=NOW) == [run.pk.hex]
        assert claim(run.pk, worker="b", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_claims_the_run(make_run):
    run = make_run()
    ready = threading.Barrier(8)
    won: list[str] = []

    def work(name: str) -> None:
        ready.wait()
        if claim(run.pk, worker=name, now=NOW):
            won.append(name)
        connection.close()

    workers = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert won == [Run.objects.get().worker]


@pytest.mark.django_db(transaction=True)
def test_a_worker_waits_for_another_that_is_claiming_and_gets_nothing(make_run):
    ids = [make_run(due_at=NOW - timedelta(seconds=n)).pk for n in range(3)]
    claimed: list[ClaimedRun] = []

    def work() -> None:
        claimed.extend(claims.claim_runs(ids, worker="w", now=NOW))
        connection.close()

    with transaction.atomic():
        claims.claim_runs(ids, worker="first", now=NOW)
        worker = threading.Thread(target=work)
        worker.start()
        worker.join(timeout=0.3)
        assert worker.is_alive()
    worker.join(timeout=30)

    assert claimed == []
    assert {run.worker for run in Run.objects.all()} == {"first"}


@pytest.mark.django_db
class TestClosed:
    def test_a_schedule_that_a_hand_has_broken_keeps_no_other_from_its_claim(self, make_run, make_schedule):
        if connection.vendor != "sqlite":
            pytest.skip("PostgreSQL keeps no word in a column of numbers")
        sound = make_run()
        other = make_schedule()
        broken = make_run(schedule=other, due_at=NOW)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE schedules_schedule SET paused_until = 'soon', misfire_grace = 'a while' "
                "WHERE periodictask_ptr_id = %s",
                [other.pk],
            )

        claimed = claims.claim_runs([sound.pk, broken.pk], worker="a", now=NOW)

        assert [run.id for run in claimed] == [sound.pk]
        broken.refresh_from_db()
        assert (broken.state, "cannot be read" in broken.message) == ("skipped", True)

    def test_a_run_of_a_paused_schedule_is_skipped_with_the_reason(self, make_run):
        run = make_run()
        Schedule.objects.update(paused_until=NOW + timedelta(hours=1), pause_reason="budget")

        assert not claim(run.pk, worker="a", now=NOW)

        run.refresh_from_db()
        assert (run.state, run.message) == ("skipped", "Paused until 2026-11-23 07:00:00 UTC: budget.")

    def test_a_pause_that_is_over_keeps_nothing(self, make_run):
        Schedule.objects.update(paused_until=NOW)

        assert claim(make_run().pk, worker="a", now=NOW)

    @pytest.mark.parametrize("ended_at", [None, NOW + timedelta(hours=1)])
    @pytest.mark.parametrize("reason", [Run.Reason.SCHEDULED, Run.Reason.MANUAL])
    def test_nothing_is_claimed_during_a_maintenance(self, make_run, ended_at, reason):
        run = make_run(reason=reason)
        Maintenance.objects.create(began_at=NOW, ended_at=ended_at, reason="upgrade")

        assert not claim(run.pk, worker="a", now=NOW)

        run.refresh_from_db()
        assert (run.state, run.message) == ("skipped", "Maintenance: upgrade.")

    def test_a_maintenance_that_is_over_keeps_nothing(self, make_run):
        Maintenance.objects.create(began_at=NOW - timedelta(hours=1), ended_at=NOW)

        assert claim(make_run().pk, worker="a", now=NOW)


@pytest.mark.django_db
class TestStopped:
    @pytest.mark.parametrize("end", [services.stop_schedules, services.delete_schedules])
    @pytest.mark.parametrize("reason", [Run.Reason.SCHEDULED, Run.Reason.CATCH_UP])
    def test_a_run_handed_back_after_the_stop_is_not_claimed_again(self, make_run, end, reason):
        run = make_run(reason=reason)
        claimed = claim(run.pk, worker="a", now=NOW)
        end([run.schedule_name], origin=ORIGIN)
        claims.release_claims(claimed)
        runs.take_planned(most=1, now=NOW)

        assert not claim(run.pk, worker="b", now=NOW)

        run.refresh_from_db()
        assert (run.state, "stopped or deleted" in run.message) == ("skipped", True)

    def test_a_start_by_hand_needs_no_started_schedule(self, make_run):
        run = make_run(reason=Run.Reason.MANUAL)
        services.stop_schedules([run.schedule_name], origin=ORIGIN)

        assert claim(run.pk, worker="a", now=NOW)


@pytest.mark.django_db
class TestOutcome:
    def test_it_is_written_once(self, make_run):
        run = make_run(state=Run.State.CLAIMED)
        session = uuid.uuid4()

        assert record(run, session=session, message="åäö") == 0
        assert record(run, Run.State.UNKNOWN) == 1

        run.refresh_from_db()
        assert (run.state, run.qrs_session, run.message, run.attempts) == ("started", session, "åäö", 1)
        assert (run.called_at, run.answered_at) == (NOW, NOW + timedelta(milliseconds=20))
        assert run.lateness == timedelta(0)

    def test_none_is_no_work(self, db, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert runs.record_outcomes([]) == 0

    def test_a_run_that_never_called_has_no_lateness(self, make_run):
        assert make_run().lateness is None


@pytest.mark.django_db
class TestSweeping:
    def test_a_message_that_nobody_took_is_published_again(self, make_run):
        lost = make_run(state=Run.State.QUEUED, queued_at=NOW - runs.QUEUE_LIMIT - timedelta(seconds=1))
        fresh = make_run(state=Run.State.QUEUED, queued_at=NOW - runs.QUEUE_LIMIT, due_at=NOW - timedelta(seconds=1))

        assert runs.requeue_lost_messages(now=NOW) == 1

        assert Run.objects.get(pk=lost.pk).state == Run.State.PLANNED
        assert Run.objects.get(pk=fresh.pk).state == Run.State.QUEUED

    def test_a_claim_whose_worker_is_silent_ends_as_unknown(self, make_run):
        lost = make_run(state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=3))
        busy = make_run(
            state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=1), due_at=NOW - timedelta(seconds=1)
        )

        assert claims.give_up_lost_claims(now=NOW, limit=timedelta(minutes=2)) == 1

        lost.refresh_from_db()
        assert (lost.state, "The worker was lost" in lost.message) == ("unsure", True)
        assert Run.objects.get(pk=busy.pk).state == Run.State.CLAIMED

    def test_a_claim_whose_worker_is_known_to_be_gone_ends_at_once(self, make_run):
        lost = make_run(state=Run.State.CLAIMED, claimed_at=NOW, worker="gone")
        busy = make_run(state=Run.State.CLAIMED, claimed_at=NOW, worker="here", due_at=NOW - timedelta(seconds=1))

        assert sorted(claims.list_claiming_workers()) == ["gone", "here"]
        assert claims.give_up_lost_claims(now=NOW, limit=timedelta(minutes=2), lost_workers=["gone"]) == 1

        assert Run.objects.get(pk=lost.pk).state == Run.State.UNSURE
        assert Run.objects.get(pk=busy.pk).state == Run.State.CLAIMED

    def test_a_worker_that_wakes_up_too_late_does_not_change_the_end(self, make_run):
        run = make_run(state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=3))
        claims.give_up_lost_claims(now=NOW, limit=timedelta(minutes=2))

        assert record(run) == 1
        assert Run.objects.get().state == Run.State.UNSURE


@pytest.mark.django_db
class TestPublishing:
    def test_an_occurrence_is_inserted_once(self, make_run):
        run = make_run(state=Run.State.STARTED)
        row = runs.PlannedRun(
            key=run.pk.hex,
            schedule_pk=run.schedule_id,
            schedule_name=run.schedule_name,
            qlik_task_id=run.qlik_task_id,
            due=round(NOW.timestamp()),
            reason=Run.Reason.SCHEDULED,
        )

        runs.plan_runs([row, row._replace(key=uuid.uuid4().hex, due=0)], now=NOW)

        assert Run.objects.get(pk=run.pk).state == Run.State.STARTED
        (other,) = Run.objects.exclude(pk=run.pk)
        assert (other.due_at, other.state, other.planned_at) == (datetime.fromtimestamp(0, UTC), "planned", NOW)

    def test_what_is_planned_is_taken_once_the_longest_due_first(self, make_run):
        later, earlier = (
            make_run(state=Run.State.PLANNED),
            make_run(state=Run.State.PLANNED, due_at=NOW - timedelta(seconds=1)),
        )
        make_run(state=Run.State.CLAIMED, due_at=NOW - timedelta(seconds=2))

        assert runs.take_planned(most=1, now=NOW) == [earlier.pk.hex]
        assert runs.take_planned(most=9, now=NOW) == [later.pk.hex]
        assert runs.take_planned(most=9, now=NOW) == []
        assert {run.queued_at for run in Run.objects.filter(state=Run.State.QUEUED)} == {NOW}

    def test_what_redis_did_not_take_is_given_back_unless_it_was_claimed(self, make_run):
        waiting, claimed = make_run(), make_run(state=Run.State.CLAIMED, due_at=NOW - timedelta(seconds=1))

        runs.give_back([waiting.pk.hex, claimed.pk.hex])

        assert Run.objects.get(pk=waiting.pk).state == Run.State.PLANNED
        assert Run.objects.get(pk=claimed.pk).state == Run.State.CLAIMED

    def test_all_that_waits_on_redis_can_be_published_again(self, make_run, monkeypatch):
        monkeypatch.setattr(runs, "_MOVE_SIZE", 2)
        for n in range(5):
            make_run(due_at=NOW - timedelta(seconds=n))
        claimed = make_run(state=Run.State.CLAIMED, due_at=NOW - timedelta(seconds=9))

        assert runs.count_in_hand() == 6
        assert runs.requeue_all() == 5

        assert runs.count_in_hand() == 1
        assert Run.objects.get(pk=claimed.pk).state == Run.State.CLAIMED
