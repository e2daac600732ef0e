"""Everything ends: runs that nobody brought to their end are closed in time, and their turns are free."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, closing, doubted_clock, following, runs, services, tasks, vitals
from schedules.doubted_clock import LONG_PATIENCE_SECONDS, DoubtedClock
from schedules.models import QlikTask, QrsSite, Run, TaskTurn
from schedules.qrs import qrs_client
from tests.conftest import ORIGIN, TASK_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
OPEN = {
    "planned": ("skipped", "Misfire: no worker took it within 7 days. Before."),
    "queued": ("skipped", "Misfire: no worker took it within 7 days. Before."),
    "retrying": ("unreachable", "It could not be started within 7 days. Before."),
    "waiting": ("skipped", "Overlap: the task did not end within 7 days. Before."),
    "claimed": (
        "unknown",
        "Its worker recorded no outcome within 7 days. Look in the Qlik Management Console. Before.",
    ),
    "unsure": (
        "unknown",
        "Nobody could say within 7 days whether it was started. Look in the Qlik Management Console. Before.",
    ),
    "started": ("unknown", "Nobody could say within 7 days how it ended. Look in the Qlik Management Console. Before."),
}


@pytest.fixture
def add_run(make_schedule):
    """Return a function that writes a run in this state, planned and since in the hands of whoever so long ago."""

    def add(state: str, *, age: timedelta = timedelta(0), **values: object) -> Run:
        at = timezone.now() - age
        called = at if state in ("retrying", "waiting", "claimed", "unsure", "started") else None
        given = {
            "schedule_name": "s",
            "qlik_task_id": TASK_ID,
            "due_at": at,
            "planned_at": at,
            "claimed_at": called,
            "called_at": called,
            "next_try_at": at if state in ("retrying", "waiting") else None,
            "attempts": int(bool(called)),
            "reason": Run.Reason.SCHEDULED,
            "state": state,
            "message": "Before.",
            "worker": "host/boot/1" if called else "",
        }
        return Run.objects.create(**(given | values))

    return add


@pytest.fixture
def _slow_task(simulator):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)


def close(run: Run, *, after: timedelta = timedelta(0)) -> str:
    closing.close_overdue(now=timezone.now() + after)
    run.refresh_from_db()
    return run.state


def end_reload(simulator) -> None:
    """Let what runs end, without that the service looks."""
    before = simulator.site._clock
    simulator.site._clock = lambda: before() + 2 * HOUR


def start(run: Run) -> Run:
    tasks.start_runs([str(run.pk)])
    run.refresh_from_db()
    return run


def plan_again(run: Run) -> Run:
    """Plan one more run of the same schedule, due now."""
    again = Run.objects.get(pk=run.pk)
    now = timezone.now()
    again.pk, again.state, again.closed_at, again.claimed_at, again.called_at = uuid4(), "queued", None, None, None
    again.due_at = again.planned_at = again.queued_at = now
    again.qrs_session, again.attempts, again.worker, again.next_try_at = None, 0, "", None
    again.save(force_insert=True)
    return again


def test_every_state_that_is_no_end_has_a_limit():
    ends = {"succeeded", "failed", "aborted", "skipped", "refused", "unreachable", "unknown"}

    assert set(OPEN) == set(Run.State.values) - ends


@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "manual", "backfill", "api"])
@pytest.mark.parametrize("state", OPEN)
def test_a_run_that_is_open_for_a_week_is_closed_with_the_reason(add_run, state, reason):
    run = add_run(state, age=WEEK - HOUR, reason=reason)
    assert close(run) == state, "not before its limit"

    assert (close(run, after=2 * HOUR), run.message) == OPEN[state]
    assert run.closed_at is not None
    assert closing.close_overdue(now=timezone.now() + 2 * WEEK) == 0, "an end is an end"


@pytest.mark.parametrize("state", OPEN)
def test_a_run_of_a_clock_that_was_set_back_since_is_closed_too(add_run, state):
    near, far = add_run(state, age=-WEEK + HOUR), add_run(state, age=-400 * timedelta(days=1))

    assert (close(near), close(far)) == (state, OPEN[state][0])
    assert close(near, after=2 * WEEK) == OPEN[state][0]


@pytest.mark.parametrize("state", OPEN)
def test_a_clock_that_is_set_far_ahead_closes_what_is_open(add_run, state):
    assert close(add_run(state), after=timedelta(days=4000)) == OPEN[state][0]


def test_a_run_that_is_due_long_ago_is_not_old(add_run):
    run = add_run("retrying", due_at=timezone.now() - timedelta(days=900), reason="backfill")

    assert close(run) == "retrying"


@pytest.mark.parametrize("state", ["claimed", "unsure", "started"])
@pytest.mark.parametrize("attempts", [2, 900])
def test_what_was_tried_for_days_has_as_long_from_its_last_call(add_run, state, attempts):
    run = add_run(state, age=WEEK + HOUR, attempts=attempts, claimed_at=timezone.now())

    assert close(run) == state
    assert close(run, after=WEEK + HOUR) == OPEN[state][0]


@pytest.mark.parametrize("state", ["planned", "queued", "retrying"])
def test_what_could_not_be_tried_for_days_has_as_long_from_then_but_not_for_ever(add_run, state):
    run = add_run(state, age=WEEK + HOUR, tried_from=timezone.now())
    assert close(run) == state

    Run.objects.update(tried_from=timezone.now() + WEEK)
    assert close(run, after=WEEK) == OPEN[state][0]


@pytest.mark.parametrize("moved", ["claimed", "started", "succeeded"])
def test_what_moves_on_while_it_is_being_closed_stays_as_it_is(add_run, monkeypatch, moved):
    run = add_run("unsure", age=2 * WEEK)
    look = closing._list_overdue

    def move(**values):
        found = list(look(**values))
        closed_at = timezone.now() if moved == "succeeded" else None
        Run.objects.update(state=moved, closed_at=closed_at)
        return found

    monkeypatch.setattr(closing, "_list_overdue", move)

    assert close(run) == moved
    assert run.message == "Before."


def test_a_sweep_that_finds_nothing_writes_nothing(add_run):
    for state in OPEN:
        add_run(state)

    with CaptureQueriesContext(connection) as queries:
        closing.close_overdue(now=timezone.now())

    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "SELECT"]


def test_of_very_many_some_are_closed_each_time(add_run, monkeypatch):
    monkeypatch.setattr(closing, "_MAX_CLOSED", 2)
    for _ in range(5):
        add_run("started", age=2 * WEEK)

    assert [closing.close_overdue(now=timezone.now()) for _ in range(4)] == [2, 2, 1, 0]


def test_the_sweeper_closes_before_it_does_anything_else(add_run, monkeypatch):
    run = add_run("unsure", age=2 * WEEK)

    def fail(**_):
        raise RuntimeError("something else is wrong")

    monkeypatch.setattr(runs, "requeue_lost_messages", fail)

    with pytest.raises(RuntimeError):
        tasks.sweep_runs()

    run.refresh_from_db()
    assert run.state == "unknown"


def test_a_clock_that_leaps_for_a_moment_closes_nothing(add_run, monkeypatch):
    run = add_run("started", age=WEEK + HOUR)
    clock = DoubtedClock()
    monkeypatch.setattr(tasks, "_CLOCK", clock)
    leapt = doubted_clock._offset() + 8 * 86_400
    monkeypatch.setattr(doubted_clock, "_offset", lambda: leapt)

    tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == "started"

    clock._doubted_since -= LONG_PATIENCE_SECONDS
    tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == "unknown", "a leap that lasts is the time"


class TestFollowingSwitchedOff:
    def test_a_start_is_the_end_of_what_was_started_before(self, add_run, settings):
        run = add_run("started")
        others = [add_run(state) for state in OPEN if state != "started"]
        settings.BUTLER_FOLLOW_RELOADS = False

        assert close(run) == "started"

        assert run.closed_at is not None
        assert run.message == "Reloads are not followed any more, so how it ended is not known. Before."
        assert closing.close_overdue(now=timezone.now()) == 0
        assert Run.objects.filter(closed_at=None).count() == len(others)

    @pytest.mark.usefixtures("_slow_task")
    @pytest.mark.parametrize("overlap", ["skip", "queue"])
    def test_the_turn_of_what_was_started_before_is_free_at_once(self, run_now, settings, simulator, overlap):
        first = start(run_now(overlap=overlap))
        settings.BUTLER_FOLLOW_RELOADS = False
        end_reload(simulator)

        assert start(plan_again(first)).state == "started"


class TestTurns:
    """A turn that nobody holds is free, whatever was switched off; whether the task runs, QRS is asked."""

    @pytest.mark.usefixtures("_slow_task")
    @pytest.mark.parametrize("state", ["claimed", "retrying", "waiting", "unsure", "started", "planned", "queued"])
    def test_a_run_that_is_past_its_limit_does_not_keep_its_turn(self, run_now, add_run, state):
        run = run_now(overlap="skip")
        old = add_run(state, age=WEEK + HOUR)
        TaskTurn.objects.create(qlik_task_id=TASK_ID, run_id=old.pk)

        assert start(run).state == "started"

    @pytest.mark.parametrize("state", ["claimed", "retrying", "waiting", "unsure", "started", "planned", "queued"])
    def test_one_that_is_not_keeps_it(self, run_now, add_run, state):
        run = run_now(overlap="skip")
        held = add_run(state)
        TaskTurn.objects.create(qlik_task_id=TASK_ID, run_id=held.pk)

        assert start(run).state == "skipped"

    def test_a_service_that_was_off_for_long_starts_again(self, run_now, add_run, simulator):
        """The whole story: a run was under way when the service went off for nine days."""
        first = start(run_now(overlap="skip"))
        for column in ("planned_at", "due_at", "claimed_at", "called_at", "answered_at"):
            Run.objects.update(**{column: timezone.now() - timedelta(days=9)})
        end_reload(simulator)

        assert start(plan_again(first)).state == "started"
        tasks.sweep_runs()
        first.refresh_from_db()
        assert (first.state, first.closed_at is not None) == ("unknown", True)

    @pytest.mark.usefixtures("_slow_task")
    def test_while_nobody_follows_qrs_is_asked_whether_a_started_task_runs(self, run_now, simulator):
        first = start(run_now(overlap="skip"))
        Run.objects.update(claimed_at=timezone.now() - HOUR)
        QrsSite.objects.update_or_create(pk=1, defaults={"followed_at": timezone.now() - HOUR})

        second = start(plan_again(first))
        assert (second.state, "in session" in second.message) == ("skipped", True)

        end_reload(simulator)
        assert start(plan_again(first)).state == "started"

    @pytest.mark.usefixtures("_slow_task")
    def test_while_somebody_follows_a_started_run_keeps_its_turn(self, run_now, simulator):
        first = start(run_now(overlap="skip"))
        Run.objects.update(claimed_at=timezone.now() - HOUR)
        following.follow_runs(qrs_client, now=timezone.now())
        end_reload(simulator)

        assert "is not over" in start(plan_again(first)).message

    def test_a_run_without_an_answer_keeps_it_although_nobody_follows(self, run_now, simulator):
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, calls=("start synchronous",)))
        first = start(run_now(overlap="skip"))
        Run.objects.update(claimed_at=timezone.now() - HOUR, called_at=timezone.now() - HOUR)

        assert (first.state, start(plan_again(first)).state) == ("unsure", "skipped")

    def test_one_that_waits_goes_on_although_nobody_woke_it(self, run_now):
        first = start(run_now(overlap="queue"))
        second = start(plan_again(first))
        assert second.state == "waiting"
        Run.objects.filter(pk=first.pk).delete()
        QlikTask.objects.all().delete()

        assert runs.resume_due(now=timezone.now() + claims.WAIT_PAUSE) == 1

    @pytest.mark.usefixtures("_slow_task")
    def test_a_schedule_that_is_deleted_frees_its_turn_in_the_end(self, run_now):
        first = start(run_now(overlap="skip"))
        services.delete_schedules([first.schedule_name], origin=ORIGIN)

        assert close(first, after=WEEK + HOUR) == "unknown"
        other = run_now(overlap="skip")
        assert claims.claim_runs([other.pk], worker="w", now=timezone.now())


class TestHealth:
    def test_it_names_the_oldest_run_that_is_open_past_its_limit(self, add_run, redis_server):
        for state in OPEN:
            add_run(state, age=WEEK + timedelta(minutes=50))
        assert vitals.read_vitals().overdue is None, "the sweeper may have been away for a moment"

        add_run("planned", age=WEEK + 9 * HOUR)
        add_run("waiting", age=WEEK + 3 * HOUR)
        oldest = add_run("started", age=WEEK + 5 * HOUR, schedule_name="payroll")

        found = vitals.read_vitals()
        (problem,) = [line for line in found.problems if "no run may be open" in line]
        assert found.overdue == oldest
        assert problem.startswith(f"The run of payroll due {oldest.due_at:%Y-%m-%d %H:%M:%S} UTC is started since")
        assert "for more than 7 days. The workers close such runs: look whether they run" in problem
