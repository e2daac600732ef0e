"""The steps of a run in the ledger."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from schedules import runs, services
from schedules.models import Run, Schedule
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
        given = {"due_at": NOW, "planned_at": NOW, "reason": Run.Reason.SCHEDULED} | values
        return Run.objects.create(
            schedule=schedule, schedule_name=schedule.name, qlik_task_id=schedule.qlik_task_id, **given
        )

    return make


def claim(run_id: uuid.UUID, *, worker: str, now: datetime) -> list[Run]:
    return runs.claim_runs([run_id], worker=worker, now=now)


def record(run: Run, state: Run.State = Run.State.STARTED, **values: object) -> int:
    outcome = runs.Outcome(run.pk, state, NOW, NOW + timedelta(milliseconds=20), **values)
    return runs.record_outcomes([outcome])


@pytest.mark.django_db
class TestClaim:
    @pytest.mark.parametrize("state", [Run.State.PLANNED, Run.State.QUEUED])
    def test_a_waiting_run_is_claimed_once(self, make_run, state):
        run = make_run(state=state)

        (claimed,) = claim(run.pk, worker="a", now=NOW)

        assert Run.objects.get().state == "claimed"
        assert (claimed.state, claimed.worker, claimed.claimed_at) == ("claimed", "a", NOW)
        assert not claim(run.pk, worker="b", now=NOW)
        assert Run.objects.get().worker == "a"

    @pytest.mark.parametrize("state", set(Run.State) - {Run.State.PLANNED, Run.State.QUEUED})
    def test_no_other_state_can_be_claimed(self, make_run, state):
        run = make_run(state=state)

        assert not claim(run.pk, worker="a", now=NOW)
        assert Run.objects.get().state == state

    def test_a_message_without_a_row_is_passed_over(self, db):
        assert not claim(Run.occurrence_id(schedule_pk=1, due=0), worker="a", now=NOW)

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

        claimed = runs.claim_runs([later.pk, taken.pk, earlier.pk], worker="a", now=NOW)

        assert claimed == [earlier, later]

    def test_a_released_run_can_be_claimed_again(self, make_run):
        run = make_run()
        runs.release_claims(runs.claim_runs([run.pk], worker="a", now=NOW))

        assert runs.list_unpublished(limit=1) == [run.pk]
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
@pytest.mark.parametrize("hold", ["mark_queued", "claim_runs"])
def test_a_worker_waits_for_beat_that_is_marking_its_runs(make_run, hold):
    runs_of_message = [make_run(due_at=NOW - timedelta(seconds=n)) for n in range(3)]
    ids = [run.pk for run in runs_of_message]
    claimed: list[Run] = []

    def work() -> None:
        claimed.extend(runs.claim_runs(ids, worker="w", now=NOW))
        connection.close()

    with transaction.atomic():
        if hold == "mark_queued":
            runs.mark_queued(ids, now=NOW)
        else:
            runs.claim_runs(ids, worker="first", now=NOW)
        worker = threading.Thread(target=work)
        worker.start()
        worker.join(timeout=0.3)
    worker.join(timeout=30)

    # What beat held is there once it lets go; what another worker held is gone
    assert [run.pk for run in claimed] == (list(reversed(ids)) if hold == "mark_queued" else [])


@pytest.mark.django_db(transaction=True)
def test_beat_does_not_wait_for_a_worker_that_is_claiming(make_run):
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one writer at a time")
    run = make_run()
    marked = threading.Event()

    def mark() -> None:
        runs.mark_queued([run.pk], now=NOW)
        marked.set()
        connection.close()

    with transaction.atomic():
        runs.claim_runs([run.pk], worker="w", now=NOW)
        beat = threading.Thread(target=mark)
        beat.start()
        assert marked.wait(10)
    beat.join()

    assert Run.objects.get().state == Run.State.CLAIMED


@pytest.mark.django_db
class TestStopped:
    @pytest.mark.parametrize("end", [services.stop_schedules, services.delete_schedules])
    @pytest.mark.parametrize("reason", [Run.Reason.SCHEDULED, Run.Reason.CATCH_UP])
    def test_a_run_handed_back_after_the_stop_is_not_claimed_again(self, make_run, end, reason):
        run = make_run(reason=reason)
        claimed = claim(run.pk, worker="a", now=NOW)
        end([run.schedule_name], origin=ORIGIN)
        runs.release_claims(claimed)

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

        assert record(run, qrs_session=session, message="åäö") == 0
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

        assert runs.list_unpublished(limit=10) == [lost.pk]
        assert Run.objects.get(pk=fresh.pk).state == Run.State.QUEUED

    def test_a_claim_whose_worker_is_silent_ends_as_unknown(self, make_run):
        lost = make_run(state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=3))
        busy = make_run(
            state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=1), due_at=NOW - timedelta(seconds=1)
        )

        assert runs.close_lost_claims(now=NOW, limit=timedelta(minutes=2)) == 1

        lost.refresh_from_db()
        assert (lost.state, "Qlik Management Console" in lost.message) == ("unknown", True)
        assert Run.objects.get(pk=busy.pk).state == Run.State.CLAIMED

    def test_a_worker_that_wakes_up_too_late_does_not_change_the_end(self, make_run):
        run = make_run(state=Run.State.CLAIMED, claimed_at=NOW - timedelta(minutes=3))
        runs.close_lost_claims(now=NOW, limit=timedelta(minutes=2))

        assert record(run) == 1
        assert Run.objects.get().state == Run.State.UNKNOWN


@pytest.mark.django_db
class TestPlanning:
    def test_an_occurrence_is_inserted_once(self, make_run):
        run = make_run()
        run.message = "another planner's"

        runs.plan_runs([run])

        assert Run.objects.get().message == ""

    def test_a_claimed_run_is_not_put_back_in_the_queue(self, make_run):
        waiting, claimed = make_run(), make_run(state=Run.State.CLAIMED, due_at=NOW - timedelta(seconds=1))

        runs.mark_queued([waiting.pk, claimed.pk], now=NOW)

        assert Run.objects.get(pk=waiting.pk).queued_at == NOW
        assert Run.objects.get(pk=claimed.pk).state == Run.State.CLAIMED

    def test_the_longest_due_is_published_first(self, make_run):
        later, earlier = make_run(), make_run(due_at=NOW - timedelta(seconds=1))

        assert runs.list_unpublished(limit=10) == [earlier.pk, later.pk]
        assert runs.list_unpublished(limit=1) == [earlier.pk]
