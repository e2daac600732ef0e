"""What became of a start: the ends of reloads, and calls whose outcome nobody knew."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.tasks import Task
from schedules import claims, following, qrs, runs, tasks
from schedules.lease import name_this_process
from schedules.models import QrsSite, Run
from schedules.qrs import qrs_client
from tests.conftest import TASK_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

HOUR = timedelta(hours=1)


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def follow(*open_runs: Run, after: timedelta = timedelta(0)) -> int:
    """Follow as the worker does, some time later, and read the runs again."""
    changed = following.follow_runs(qrs_client, now=timezone.now() + after)
    for run in open_runs:
        run.refresh_from_db()
    return changed


def follow_in_silence(*open_runs: Run) -> None:
    """Follow often enough that what QRS does not know of a call counts."""
    follow(*open_runs, after=timedelta(seconds=20))
    follow(*open_runs, after=timedelta(seconds=35))


def pass_time(simulator, time: timedelta) -> None:
    """Let a time pass at the Sense site."""
    before = simulator.site._clock
    simulator.site._clock = lambda: before() + time


def list_calls(simulator) -> list[str]:
    return [entry.call for entry in simulator.entries() if "start" not in entry.call]


def change_task(simulator, **values: object) -> None:
    simulator.site.change_task(UUID(TASK_ID), **values)


class TestReloads:
    def test_a_good_end_is_told_with_its_time_node_and_log(self, run_now, simulator):
        change_task(simulator, reload_seconds=60)
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)

        follow(run)

        assert (run.state, run.reload_status, run.reload_attempts) == ("succeeded", 7, 1)
        # With the moment from the call to the start
        assert timedelta(seconds=60) <= run.reload_duration < timedelta(seconds=62)
        assert run.ended_at - run.reload_started_at == run.reload_duration
        assert run.node
        assert run.script_log
        assert run.closed_at is not None

    def test_a_reload_under_way_is_told_once_and_asked_about_until_it_ends(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        run = run_now()
        start(run)
        pass_time(simulator, timedelta(seconds=30))

        assert follow(run) == 1
        assert (run.state, run.reload_status, run.closed_at) == ("started", 2, None)
        assert follow(run) == 0

        pass_time(simulator, HOUR)
        assert follow(run) == 1
        assert run.state == "succeeded"
        simulator.journal.clear()
        assert follow(run) == 0
        assert list_calls(simulator) == [], "nothing is open, so nobody is asked"

    def test_a_failed_reload_says_why_and_counts_the_attempts_of_sense(self, run_now, simulator):
        change_task(simulator, reload_seconds=10, fails=True, max_retries=2)
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)

        follow(run)

        assert (run.state, run.reload_status, run.reload_attempts) == ("failed", 8, 3)
        assert "finished fail" in run.message
        assert run.reload_details

    def test_what_no_database_takes_of_the_details_is_replaced(self, run_now, simulator, monkeypatch):
        change_task(simulator, fails=True)
        monkeypatch.setattr("qlik.simulator.documents.name_status", lambda status: f"\0{status.value}")
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)

        follow(run)

        assert run.state == "failed"
        assert "\ufffd8" in run.reload_details

    def test_a_reload_that_was_stopped_is_aborted(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        run = run_now()
        start(run)
        qrs_client().stop_task(UUID(TASK_ID))
        pass_time(simulator, HOUR)

        follow(run)

        assert (run.state, run.reload_status) == ("aborted", 6)

    def test_the_run_before_is_not_taken_for_this_one(self, run_now, simulator):
        change_task(simulator, reload_seconds=1)
        first = run_now()
        start(first)
        pass_time(simulator, HOUR)
        change_task(simulator, reload_seconds=7200, fails=True)
        second = run_now()
        start(second)

        follow(first, second)

        assert (first.state, second.state) == ("succeeded", "started")

    def test_sessions_that_a_restart_has_lost_are_given_up_in_the_end(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        run = run_now()
        start(run)
        simulator.site.lose_sessions(keep_results=False)

        follow(run)
        assert run.state == "started"

        follow(run, after=timedelta(minutes=11))
        assert run.state == "unknown"
        assert "does not know this run" in run.message

    def test_a_site_that_is_away_changes_nothing(self, run_now, simulator, caplog):
        run = run_now()
        start(run)
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

        assert follow(run) == 0

        assert run.state == "started"
        assert "cannot be asked how 1 runs go" in caplog.text

    def test_a_setting_turns_it_off(self, run_now, simulator, settings):
        settings.BUTLER_FOLLOW_RELOADS = False
        run = run_now()
        start(run)
        simulator.journal.clear()

        follow(run)

        assert (run.state, run.closed_at is not None) == ("started", True)
        assert list_calls(simulator) == []

    def test_one_worker_follows_at_a_time_and_one_that_died_is_replaced(self, run_now, simulator):
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)
        QrsSite.objects.update_or_create(pk=1, defaults={"follower_until": timezone.now() + timedelta(seconds=90)})

        assert follow(run) == 0
        assert follow(run, after=timedelta(seconds=91)) == 1

    def test_a_turn_that_a_clock_set_back_made_long_is_none(self, run_now, simulator):
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)
        QrsSite.objects.update_or_create(pk=1, defaults={"follower_until": timezone.now() + 2 * HOUR})

        assert follow(run) == 1

    def test_one_whose_process_is_gone_is_replaced_at_once(self, run_now, simulator):
        run = run_now()
        start(run)
        pass_time(simulator, HOUR)
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
        gone = f"{name_this_process().rpartition('/')[0]}/{process.pid}"
        turn = {"follower_until": timezone.now() + timedelta(seconds=90), "follower": name_this_process()}
        QrsSite.objects.update_or_create(pk=1, defaults=turn)
        assert follow(run) == 0, "another thread of this process follows"

        QrsSite.objects.update(follower=gone)
        assert follow(run) == 1

    def test_many_that_end_together_are_told_with_all_their_attempts(self, simulator, make_started):
        """Their first attempts had failed long before, while they were followed."""
        simulator.site._slots = 100
        reload = {"app": "App", "reload_seconds": 120, "fails_first": 1, "max_retries": 1}
        tasks_of_site = [Task(id=uuid4(), name=f"Task {number}", **reload) for number in range(60)]
        simulator.site.put_tasks(tasks_of_site, keep_others=True)
        make_started([task.id for task in tasks_of_site])
        pass_time(simulator, timedelta(seconds=200))
        follow(after=timedelta(seconds=200))
        pass_time(simulator, timedelta(seconds=200))

        follow(after=timedelta(seconds=400))

        assert set(Run.objects.values_list("state", "reload_attempts")) == {("succeeded", 2)}
        assert {round((run.ended_at - run.reload_started_at).total_seconds()) for run in Run.objects.all()} == {250}

    def test_of_more_than_can_be_listed_in_time_the_oldest_are_told(self, run_now, simulator, make_started):
        """Or else the list would grow, and never be answered again."""
        tasks_of_site = [Task(id=uuid4(), name=f"Task {number}", app="App", reload_seconds=1) for number in range(60)]
        simulator.site.put_tasks(tasks_of_site, keep_others=True)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        unsure = run_now()
        start(unsure)
        make_started([task.id for task in tasks_of_site])
        pass_time(simulator, HOUR)

        simulator.add_fault(Fault(kind=FaultKind.HANG, delay_ms=3000, calls=("results",), count=1))
        assert follow(unsure, after=timedelta(seconds=20)) == 50
        assert unsure.state == "unsure", "what began since was not told"

        assert follow(unsure, after=timedelta(seconds=40)) == 11
        assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}

    def test_thousands_cost_two_calls(self, simulator, settings, make_schedule, make_started):
        settings.QRS_TIMEOUT = (5.0, 60.0)
        settings.QRS_TOTAL_TIMEOUT = 60.0
        qrs._client.cache_clear()
        tasks_of_site = [
            Task(id=uuid4(), name=f"Task {number}", app="App", reload_seconds=30 if number % 2 else 7200)
            for number in range(2000)
        ]
        simulator.site.put_tasks(tasks_of_site, keep_others=True)
        make_started([task.id for task in tasks_of_site])
        simulator.journal.clear()

        assert follow() == 2000
        assert len(list_calls(simulator)) == 1, "all are under way"

        # Four work at once; what has waited for half an hour is dropped
        pass_time(simulator, timedelta(minutes=250))
        simulator.journal.clear()
        follow()
        assert len(list_calls(simulator)) == 2
        assert Run.objects.exclude(closed_at=None).count() == 2000


@pytest.fixture
def make_started(simulator, make_schedule):
    """Return a function that starts tasks and writes their runs."""
    schedule = make_schedule()

    def make(task_ids: list[UUID]) -> None:
        now = timezone.now()
        sessions = simulator.site.start(task_ids)
        Run.objects.bulk_create(
            Run(
                schedule=schedule,
                schedule_name=schedule.name,
                qlik_task_id=str(task_id),
                due_at=now - timedelta(microseconds=number),
                planned_at=now,
                called_at=now,
                answered_at=now,
                reason=Run.Reason.SCHEDULED,
                state=Run.State.STARTED,
                qrs_session=session,
            )
            for number, (task_id, session) in enumerate(zip(task_ids, sessions, strict=True))
        )

    return make


class TestUnknownOutcomes:
    """A call without an answer is settled by asking, never by calling again first."""

    @pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.CUT])
    def test_a_call_that_took_effect_is_found_by_its_session(self, run_now, simulator, kind):
        change_task(simulator, reload_seconds=600)
        simulator.add_fault(Fault(kind=kind, count=1))
        run = run_now()
        start(run)
        assert run.state == "unsure"

        follow(run)

        (entry,) = simulator.entries()[:1]
        assert (run.state, run.qrs_session) == ("started", entry.session_id)
        assert "QRS was asked: it was started." in run.message
        assert len([entry for entry in simulator.entries() if "start" in entry.call]) == 1

    def test_a_reload_that_is_over_when_qrs_is_asked_is_found_too(self, run_now, simulator):
        change_task(simulator, reload_seconds=0.01)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        run = run_now()
        start(run)
        pass_time(simulator, timedelta(seconds=1))

        follow(run)

        assert run.state == "succeeded"

    def test_a_call_that_took_no_effect_is_made_again_after_a_while(self, run_now, simulator):
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        run = run_now()
        start(run)

        follow(run)
        assert run.state == "unsure", "it may still be on its way"

        follow(run, after=timedelta(seconds=20))
        assert run.state == "unsure", "once is no proof"

        follow(run, after=timedelta(seconds=35))
        assert run.state == "retrying"
        assert run.next_try_at is not None
        assert "no run of the task has begun since" in run.message

    def test_past_its_deadline_it_was_not_started(self, run_now, simulator):
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=500, count=1))
        run = run_now(retry_deadline=timedelta(seconds=10))
        start(run)

        follow_in_silence(run)

        assert run.state == "unreachable"

    def test_the_session_of_another_run_is_not_taken(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        good, bad = run_now(), run_now()
        start(good)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        start(bad)

        follow_in_silence(good, bad)

        assert (good.state, bad.state) == ("started", "retrying")

    def test_the_session_of_a_call_that_is_on_its_way_is_not_taken(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        bad, calling = run_now(), run_now()
        start(bad)
        claims.claim_runs([calling.pk], worker="here", now=timezone.now())
        (session,) = simulator.site.start([UUID(TASK_ID)])

        follow(bad, after=timedelta(seconds=20))
        assert (bad.state, bad.qrs_session) == ("unsure", None), "whose session it is, is not known yet"

        now = timezone.now()
        answer = runs.Outcome(id=calling.pk, state=Run.State.STARTED, called_at=now, answered_at=now, session=session)
        runs.record_outcomes([answer])
        follow_in_silence(bad)
        assert bad.state == "retrying"

    def test_the_session_of_a_call_that_has_just_become_unsure_is_not_taken(self, run_now, simulator, monkeypatch):
        change_task(simulator, reload_seconds=600)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        bad, calling = run_now(), run_now()
        start(bad)
        claims.claim_runs([calling.pk], worker="gone", now=timezone.now())
        simulator.site.start([UUID(TASK_ID)])
        look = following.take_picture

        def look_and_lose(*args: object, **values: object) -> following.Picture:
            claims.give_up_lost_claims(now=timezone.now(), limit=HOUR, lost_workers=["gone"])
            return look(*args, **values)

        monkeypatch.setattr(following, "take_picture", look_and_lose)
        follow(bad, calling)
        assert (bad.state, calling.state) == ("unsure", "unsure")

        follow(bad, calling)
        assert (bad.state, calling.state) == ("unsure", "started")

    def test_two_unsure_runs_of_a_task_get_a_session_each(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=2))
        first, second = run_now(), run_now()
        start(first)
        start(second)

        follow(first, second)

        assert {first.state, second.state} == {"started"}
        assert first.qrs_session != second.qrs_session

    def test_of_two_unsure_runs_of_a_task_the_one_that_began_it_gets_the_session(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        first, second = run_now(), run_now()
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        start(first)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        start(second)

        follow_in_silence(first, second)

        assert (first.state, second.state) == ("retrying", "started")

    def test_a_start_by_somebody_else_long_before_is_not_taken(self, run_now, simulator):
        change_task(simulator, reload_seconds=7200)
        before = simulator.site._clock
        simulator.site._clock = lambda: before() - timedelta(minutes=5)
        simulator.site.start([UUID(TASK_ID)])
        simulator.site._clock = before
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, takes_effect=False))
        run = run_now()
        start(run)

        follow_in_silence(run)

        assert run.state == "retrying"

    def test_where_qrs_stays_away_it_ends_as_unknown_and_is_not_started_again(self, run_now, simulator):
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        run = run_now()
        start(run)
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

        follow(run, after=timedelta(minutes=50))
        assert run.state == "unsure"
        follow(run, after=timedelta(minutes=70))
        assert run.state == "unknown"
        assert "could not be found out" in run.message

    def test_the_claim_of_a_lost_worker_is_settled_like_a_call(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        called, not_called = run_now(), run_now()
        claims.claim_runs([called.pk, not_called.pk], worker="gone", now=timezone.now())
        (session,) = simulator.site.start([UUID(TASK_ID)])
        claims.give_up_lost_claims(now=timezone.now(), limit=HOUR, lost_workers=["gone"])

        follow_in_silence(called, not_called)

        assert sorted([called.state, not_called.state]) == ["retrying", "started"]
        assert {called.qrs_session, not_called.qrs_session} == {session, None}

    def test_of_a_second_attempt_whose_worker_was_lost_the_first_does_not_matter(self, run_now, simulator):
        change_task(simulator, reload_seconds=600)
        run = run_now()
        now, long_ago = timezone.now(), timezone.now() - timedelta(minutes=5)
        Run.objects.update(state="unsure", called_at=long_ago, answered_at=long_ago, claimed_at=now, attempts=1)
        (session,) = simulator.site.start([UUID(TASK_ID)])

        follow(run)

        assert (run.state, run.qrs_session) == ("started", session)

    def test_a_backfill_is_followed_however_long_past_it_was_due(self, run_now, simulator):
        change_task(simulator, reload_seconds=60)
        run = run_now()
        start(run)
        Run.objects.update(due_at=timezone.now() - timedelta(days=60))
        pass_time(simulator, HOUR)

        follow(run)

        assert run.state == "succeeded"

    @pytest.mark.parametrize("step", [timedelta(hours=2), timedelta(hours=-2)])
    def test_after_a_clock_was_set_it_is_not_started_again_on_suspicion(self, run_now, simulator, monkeypatch, step):
        change_task(simulator, reload_seconds=7200)
        followed = run_now()
        start(followed)
        follow(followed)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        run = run_now()
        start(run)
        (transport,) = qrs_client()._hosts._transports
        monkeypatch.setattr(transport, "_read_clock", lambda text: None)
        transport.clock_offset = -step

        follow(run, followed, after=step)

        assert (run.state, followed.state) == ("unknown", "started")
        assert "A clock was set" in run.message


class TestPlainCalls:
    """The plain call gives no session, so the session is looked for."""

    @pytest.fixture(autouse=True)
    def plain(self, settings):
        settings.QRS_START_CALL = "plain"

    def test_its_session_is_found_and_followed(self, run_now, simulator):
        change_task(simulator, reload_seconds=60)
        run = run_now()
        start(run)
        assert (run.state, run.qrs_session) == ("started", None)

        follow(run)
        assert run.qrs_session is not None
        pass_time(simulator, HOUR)
        follow(run)
        assert run.state == "succeeded"

    def test_a_task_that_never_begins_is_told(self, run_now, simulator):
        change_task(simulator, enabled=False)
        run = run_now()
        start(run)

        follow(run, after=timedelta(minutes=11))

        assert run.state == "unknown"
        assert "no run of the task has begun" in run.message


def test_moments_of_qrs_are_compared_by_its_own_clock(run_now, simulator, monkeypatch):
    """QRS's clock is two hours ahead of this one, sessions and Date header alike."""
    change_task(simulator, reload_seconds=600)
    pass_time(simulator, 2 * HOUR)
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
    run = run_now()
    start(run)
    for transport in qrs_client()._hosts._transports:
        monkeypatch.setattr(transport, "_read_clock", lambda text: None)
        transport.clock_offset = 2 * HOUR

    follow(run)

    assert run.state == "started"
    assert run.qrs_session is not None


def test_the_clock_of_qrs_is_read_from_its_answers(simulator):
    client = qrs_client()
    client.list_sessions()

    assert client.clock.uncertainty < timedelta(seconds=1)
    assert abs(client.clock.offset) <= client.clock.uncertainty
