"""How a run on the simulated site goes on, by a clock of our own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from qlik.execution import ExecutionStatus as Status
from qlik.simulator.tasks import DROPPED, FAILED, TIMED_OUT, Attempt, Site, Task, UnknownTaskError

TASK_ID = UUID(int=1)
BEGIN_AT = datetime(2026, 3, 1, 6, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN_AT

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_task(number: int = 1, **values: object) -> Task:
    return Task(**({"id": UUID(int=number), "name": "a task", "app": "an app", "reload_seconds": 60.0} | values))


def make_site(clock: Clock, *tasks: Task, **options: object) -> Site:
    return Site(tasks or [make_task()], clock=clock, **options)


def begin(site: Site, task_id: UUID = TASK_ID) -> UUID:
    (session_id,) = site.start([task_id])
    assert session_id is not None
    return session_id


def attempts_of(site: Site, session_id: UUID) -> list[Attempt]:
    return [attempt for attempt in site.list_attempts() if attempt.session_id == session_id]


def status_of(site: Site, session_id: UUID) -> Status:
    return attempts_of(site, session_id)[-1].status


def is_open(site: Site, session_id: UUID) -> bool:
    with site.settled():
        return session_id in site.sessions


def test_a_late_start_has_no_session_until_it_begins(clock: Clock) -> None:
    site = make_site(clock)
    (session_id,) = site.start([TASK_ID], after=timedelta(seconds=30))

    clock.forward(29.9)
    assert not is_open(site, session_id)
    clock.forward(0.2)
    assert is_open(site, session_id)
    assert attempts_of(site, session_id)[0].started_at == BEGIN_AT + timedelta(seconds=30)
    clock.forward(61)
    assert status_of(site, session_id) is Status.FINISHED_SUCCESS


def test_a_run_is_triggered_then_started_then_finished(clock: Clock) -> None:
    site = make_site(clock)
    session_id = begin(site)
    assert status_of(site, session_id) is Status.TRIGGERED
    clock.forward(1)
    assert status_of(site, session_id) is Status.STARTED
    clock.forward(59)
    assert status_of(site, session_id) is Status.STARTED
    assert is_open(site, session_id)
    clock.forward(1)
    assert status_of(site, session_id) is Status.FINISHED_SUCCESS
    assert not is_open(site, session_id)


def test_what_became_due_unseen_bears_the_moment_at_which_it_was_due(clock: Clock) -> None:
    site = make_site(clock)
    session_id = begin(site)
    clock.forward(3600)
    (attempt,) = attempts_of(site, session_id)
    assert attempt.started_at == BEGIN_AT
    assert attempt.stopped_at == BEGIN_AT + timedelta(seconds=60.5)
    assert [status for _, status in attempt.changes] == [
        Status.TRIGGERED,
        Status.STARTED,
        Status.FINISHED_SUCCESS,
    ]


def test_the_speed_shortens_everything(clock: Clock) -> None:
    site = make_site(clock, speed=60)
    session_id = begin(site)
    clock.forward(1.02)
    assert status_of(site, session_id) is Status.FINISHED_SUCCESS


def test_a_node_may_take_fewer_at_once(clock: Clock) -> None:
    site = make_site(clock, slots=1)
    first, second = begin(site), begin(site)
    clock.forward(1)

    assert (status_of(site, first), status_of(site, second)) == (Status.STARTED, Status.QUEUED)


def test_the_fifth_run_waits_for_one_of_four_slots(clock: Clock) -> None:
    site = make_site(clock, *(make_task(number, reload_seconds=60.0 + number) for number in range(1, 6)))
    sessions = [begin(site, UUID(int=number)) for number in range(1, 6)]
    clock.forward(1)
    assert [status_of(site, session) for session in sessions] == [*[Status.STARTED] * 4, Status.QUEUED]
    clock.forward(61)
    assert status_of(site, sessions[0]) is Status.FINISHED_SUCCESS
    assert status_of(site, sessions[4]) is Status.STARTED


def test_a_run_that_waited_half_an_hour_for_a_slot_is_dropped(clock: Clock) -> None:
    site = make_site(clock, make_task(reload_seconds=7200.0))
    sessions = [begin(site) for _ in range(5)]
    clock.forward(1799)
    assert status_of(site, sessions[4]) is Status.QUEUED
    clock.forward(2)
    assert status_of(site, sessions[4]) is Status.FINISHED_FAIL
    assert not is_open(site, sessions[4])
    clock.forward(7200)
    assert status_of(site, sessions[4]) is Status.FINISHED_FAIL


def test_a_failing_run_is_tried_again_in_the_same_session(clock: Clock) -> None:
    site = make_site(clock, make_task(fails=True, max_retries=1))
    session_id = begin(site)
    clock.forward(61)
    assert [attempt.status for attempt in attempts_of(site, session_id)] == [Status.FINISHED_FAIL, Status.RETRY]
    assert is_open(site, session_id)
    clock.forward(10)
    assert status_of(site, session_id) is Status.STARTED
    clock.forward(60)
    assert [attempt.status for attempt in attempts_of(site, session_id)] == [Status.FINISHED_FAIL] * 2
    assert not is_open(site, session_id)


def test_a_run_may_succeed_at_the_second_attempt(clock: Clock) -> None:
    site = make_site(clock, make_task(fails_first=1, max_retries=2))
    session_id = begin(site)
    clock.forward(3600)
    attempts = attempts_of(site, session_id)
    assert [attempt.status for attempt in attempts] == [Status.FINISHED_FAIL, Status.FINISHED_SUCCESS]
    assert [attempt.remark for attempt in attempts] == [FAILED, ""]


def test_a_run_that_fails_more_often_than_it_is_tried_fails(clock: Clock) -> None:
    site = make_site(clock, make_task(fails_first=2, max_retries=1))
    session_id = begin(site)
    clock.forward(3600)
    assert [attempt.status for attempt in attempts_of(site, session_id)] == [Status.FINISHED_FAIL] * 2


@pytest.mark.parametrize(
    ("minutes", "reached"),
    [(0.5, Status.STARTED), (1.1, Status.RETRY), (1.5, Status.STARTED)],
)
def test_a_run_that_takes_longer_than_its_session_may_last_is_aborted(
    clock: Clock, minutes: float, reached: Status
) -> None:
    site = make_site(clock, make_task(fails=True, max_retries=1, session_timeout_minutes=minutes))
    session_id = begin(site)
    clock.forward(minutes * 60 - 0.1)
    assert status_of(site, session_id) is reached
    clock.forward(0.1)
    assert status_of(site, session_id) is Status.ABORT_INITIATED
    clock.forward(1)
    assert status_of(site, session_id) is Status.ABORTING
    clock.forward(1)
    attempt = attempts_of(site, session_id)[-1]
    assert (attempt.status, attempt.remark) == (Status.ABORTED, TIMED_OUT)
    assert not is_open(site, session_id)


def test_the_time_in_the_queue_counts_for_the_session(clock: Clock) -> None:
    blocking = [make_task(number) for number in range(2, 6)]
    site = make_site(clock, make_task(session_timeout_minutes=1.5), *blocking)
    for task in blocking:
        begin(site, task.id)
    session_id = begin(site)
    clock.forward(62)
    assert status_of(site, session_id) is Status.STARTED
    clock.forward(28)
    assert status_of(site, session_id) is Status.ABORT_INITIATED


def test_a_stopped_run_goes_its_way_although_its_session_times_out(clock: Clock) -> None:
    site = make_site(clock, make_task(session_timeout_minutes=1))
    session_id = begin(site)
    clock.forward(59)
    site.stop(TASK_ID)
    clock.forward(2)
    attempt = attempts_of(site, session_id)[-1]
    assert (attempt.status, attempt.remark) == (Status.ABORTED, "")


def test_only_a_reload_that_began_and_is_over_has_a_log(clock: Clock) -> None:
    site = make_site(clock, make_task(reload_seconds=7200.0))
    sessions = [begin(site) for _ in range(5)]
    clock.forward(3600)
    site.stop(TASK_ID)
    has_log = [attempts_of(site, session)[-1].has_script_log for session in sessions]
    assert has_log == [False] * 5
    clock.forward(2)
    has_log = [attempts_of(site, session)[-1].has_script_log for session in sessions]
    assert has_log == [True] * 4 + [False]
    assert attempts_of(site, sessions[4])[-1].remark == DROPPED


def test_a_deleted_task_takes_its_runs_along_and_leaves_its_results(clock: Clock) -> None:
    site = make_site(clock, make_task(1), make_task(2))
    sessions = [begin(site), *[begin(site) for _ in range(5)], begin(site, UUID(int=2))]
    clock.forward(1)
    site.remove_tasks([TASK_ID])
    assert [status_of(site, session) for session in sessions] == [Status.ABORTED] * 6 + [Status.STARTED]
    assert [is_open(site, session) for session in sessions] == [False] * 6 + [True]
    with pytest.raises(UnknownTaskError):
        site.start([TASK_ID])
    clock.forward(3600)
    assert status_of(site, sessions[0]) is Status.ABORTED


def test_a_disabled_task_goes_on_with_what_it_runs(clock: Clock) -> None:
    site = make_site(clock)
    session_id = begin(site)
    site.change_task(TASK_ID, enabled=False)
    assert site.start([TASK_ID]) == [None]
    clock.forward(61)
    assert status_of(site, session_id) is Status.FINISHED_SUCCESS
    with pytest.raises(UnknownTaskError):
        site.change_task(UUID(int=99), enabled=False)


@pytest.mark.parametrize(("keep_results", "statuses"), [(True, [Status.RESET]), (False, [])])
def test_a_restart_loses_what_was_running(clock: Clock, keep_results: bool, statuses: list[Status]) -> None:
    site = make_site(clock)
    over = begin(site)
    clock.forward(61)
    sessions = [begin(site) for _ in range(6)]
    clock.forward(1)
    site.lose_sessions(keep_results=keep_results)
    assert status_of(site, over) is Status.FINISHED_SUCCESS
    for session_id in sessions:
        assert [attempt.status for attempt in attempts_of(site, session_id)] == statuses
        assert not is_open(site, session_id)
    with site.settled():
        assert site.latest[TASK_ID].status is (Status.RESET if keep_results else Status.FINISHED_SUCCESS)
    again = begin(site)
    clock.forward(61)
    assert status_of(site, again) is Status.FINISHED_SUCCESS


def test_a_stopped_run_is_aborted_step_by_step_and_gives_its_slot_back(clock: Clock) -> None:
    site = make_site(clock, *(make_task(number) for number in range(1, 6)))
    sessions = [begin(site, UUID(int=number)) for number in range(1, 6)]
    clock.forward(1)
    site.stop(TASK_ID)
    assert status_of(site, sessions[0]) is Status.ABORT_INITIATED
    clock.forward(1)
    assert status_of(site, sessions[0]) is Status.ABORTING
    site.stop(TASK_ID)
    clock.forward(1)
    assert status_of(site, sessions[0]) is Status.ABORTED
    assert not is_open(site, sessions[0])
    assert status_of(site, sessions[4]) is Status.STARTED
    clock.forward(3600)
    assert status_of(site, sessions[0]) is Status.ABORTED


def test_a_run_stopped_while_it_waits_never_takes_a_slot(clock: Clock) -> None:
    site = make_site(clock, *(make_task(number) for number in range(1, 7)))
    sessions = [begin(site, UUID(int=number)) for number in range(1, 7)]
    clock.forward(1)
    site.stop(UUID(int=5))
    clock.forward(60)
    assert status_of(site, sessions[4]) is Status.ABORTED
    assert status_of(site, sessions[5]) is Status.STARTED


def test_a_disabled_task_does_not_begin(clock: Clock) -> None:
    site = make_site(clock, make_task(enabled=False))
    assert site.start([TASK_ID]) == [None]
    assert site.list_attempts() == []


def test_the_start_of_a_running_task_makes_a_second_session(clock: Clock) -> None:
    site = make_site(clock)
    assert begin(site) != begin(site)


def test_the_start_of_a_running_task_can_be_ignored_until_it_is_over(clock: Clock) -> None:
    site = make_site(clock, second_sessions=False)
    begin(site)
    assert site.start([TASK_ID]) == [None]
    clock.forward(61)
    begin(site)


def test_one_unknown_task_of_many_starts_nothing(clock: Clock) -> None:
    site = make_site(clock)
    with pytest.raises(UnknownTaskError):
        site.start([TASK_ID, UUID(int=99)])
    assert site.list_attempts() == []


def test_tasks_are_added_replaced_and_exchanged(clock: Clock) -> None:
    site = make_site(clock)
    site.put_tasks([make_task(2), make_task(name="another name")], keep_others=True)
    assert [(task.id.int, task.name) for task in site.tasks.values()] == [(1, "another name"), (2, "a task")]
    site.put_tasks([make_task(3)], keep_others=False)
    assert list(site.tasks) == [UUID(int=3)]
