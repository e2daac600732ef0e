"""Runs of one Qlik task that must not overlap, of one schedule or several: never two at once, and none is lost."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, following, runs, services, tasks
from schedules.models import Run, Schedule, TaskTurn
from schedules.qrs import qrs_client
from schedules.turns import take_turn
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.begun import assert_books_agree, count_side_by_side, list_begun, list_called
from tests.integration.locks import needs_row_locks, take_lock_of_row, waiting_thread

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

OTHER_TASK_ID = "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"


@pytest.fixture(autouse=True)
def slow_tasks(simulator):
    for task_id in (TASK_ID, OTHER_TASK_ID):
        simulator.site.change_task(UUID(task_id), reload_seconds=3600)


def plan_again(run: Run) -> Run:
    """Plan one more run of the same schedule."""
    (again,) = services.run_now([run.schedule_name], origin=ORIGIN)
    runs.take_planned(most=1, now=timezone.now())
    return again


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def states(*planned: Run) -> list[str]:
    for run in planned:
        run.refresh_from_db()
    return [run.state for run in planned]


def end_reload(simulator) -> None:
    """Let what runs end, and the service learn of it."""
    before = simulator.site._clock
    simulator.site._clock = lambda: before() + timedelta(hours=2)
    following.follow_runs(qrs_client, now=timezone.now())


def start_what_is_due() -> None:
    runs.resume_due(now=timezone.now())
    tasks.start_runs(runs.take_planned(most=10, now=timezone.now()))


def look_again() -> None:
    Run.objects.filter(state__in=runs.POSTPONED).update(next_try_at=timezone.now())
    start_what_is_due()


class TestQueue:
    def test_of_two_in_one_message_one_starts_and_the_other_waits_for_its_end(self, run_now, simulator):
        first = run_now(overlap="queue")
        second = plan_again(first)

        start(first, second)

        assert sorted([first.state, second.state]) == ["started", "waiting"]
        assert len(list_begun(simulator)) == 1
        end_reload(simulator)
        start_what_is_due()
        assert sorted(states(first, second)) == ["started", "succeeded"]
        assert len(list_begun(simulator)) == 2
        assert_books_agree(simulator)

    def test_of_three_in_one_message_one_starts_one_waits_one_is_skipped(self, run_now, simulator):
        first = run_now(overlap="queue")
        others = [plan_again(first), plan_again(first)]

        start(first, *others)

        assert sorted(states(first, *others)) == ["skipped", "started", "waiting"]
        assert len(list_called(simulator)) == 1

    def test_the_longest_due_of_a_message_has_the_first_turn(self, run_now):
        later = run_now(overlap="queue")
        earlier = plan_again(later)
        Run.objects.filter(pk=earlier.pk).update(due_at=later.due_at - timedelta(seconds=10))

        start(later, earlier)

        assert states(earlier, later) == ["started", "waiting"]

    def test_the_turn_is_passed_on_twice_and_never_shared(self, run_now, simulator):
        first, second, third = (run_now(overlap="queue") for _ in range(3))
        start(first)
        start(second, third)
        assert states(first, second, third) == ["started", "waiting", "waiting"]

        for begun in (2, 3):
            look_again()
            assert len(list_begun(simulator)) == begun - 1, "while one is under way, looking again starts none"
            end_reload(simulator)
            start_what_is_due()
            assert len(list_begun(simulator)) == begun
            assert count_side_by_side(simulator, TASK_ID) == 1

        end_reload(simulator)
        assert states(first, second, third) == ["succeeded"] * 3
        assert_books_agree(simulator)

    def test_a_schedule_whose_run_waited_can_have_one_wait_again(self, run_now, simulator):
        first = run_now(overlap="queue")
        second = plan_again(first)
        start(first, second)
        end_reload(simulator)
        start_what_is_due()

        third = plan_again(first)
        start(third)

        assert states(first, second, third) == ["succeeded", "started", "waiting"]

    def test_only_runs_of_the_task_that_ended_go_on(self, run_now, simulator):
        first, waits = run_now(overlap="queue"), run_now(overlap="queue")
        start(first, waits)
        simulator.site.change_task(UUID(OTHER_TASK_ID), reload_seconds=1)
        other = run_now(overlap="queue", qlik_task_id=OTHER_TASK_ID)
        start(other)
        before = simulator.site._clock
        simulator.site._clock = lambda: before() + timedelta(minutes=1)

        following.follow_runs(qrs_client, now=timezone.now())

        assert states(other) == ["succeeded"]
        assert runs.resume_due(now=timezone.now()) == 0
        assert states(first, waits) == ["started", "waiting"]

    def test_one_that_waits_is_skipped_by_a_stop_and_keeps_nobody(self, run_now, simulator):
        simulator.site.start([UUID(TASK_ID)])
        waits = run_now(overlap="queue")
        Run.objects.update(reason=Run.Reason.SCHEDULED)
        start(waits)
        assert waits.state == "waiting"

        services.stop_schedules([waits.schedule_name], origin=ORIGIN)
        end_reload(simulator)
        other = run_now(overlap="skip")
        start(other)

        assert states(waits, other) == ["skipped", "started"]


class TestTheTurnOf:
    """Who keeps the turn, and from when on it is free."""

    @pytest.mark.parametrize("status", [503, 400])
    def test_a_run_that_is_tried_again_is_kept_and_that_of_a_refused_one_is_free(self, run_now, simulator, status):
        fault = Fault(kind=FaultKind.REFUSE, status=status, count=1, calls=("start synchronous",))
        simulator.add_fault(fault)
        first, second = run_now(overlap="skip"), run_now(overlap="skip")
        start(first)

        start(second)

        expected = ["retrying", "skipped"] if status == 503 else ["refused", "started"]
        assert states(first, second) == expected
        if status == 503:
            Run.objects.filter(pk=first.pk).update(next_try_at=timezone.now())
            start_what_is_due()
            assert states(first) == ["started"], "its own turn keeps it from nothing"
        assert len(list_begun(simulator)) == 1

    @pytest.mark.parametrize("end", ["succeeded", "failed", "aborted", "skipped", "refused", "unreachable", "unknown"])
    def test_every_end_frees_it(self, run_now, end):
        first, second = run_now(overlap="skip"), run_now(overlap="skip")
        claims.claim_runs([first.pk], worker="w", now=timezone.now())
        runs.move_runs(Run.objects.filter(pk=first.pk), state=Run.State(end))

        assert [run.id for run in claims.claim_runs([second.pk], worker="w", now=timezone.now())] == [second.pk]

    @pytest.mark.parametrize("state", ["claimed", "started", "unsure", "retrying", "planned", "queued"])
    def test_whoever_is_not_over_keeps_it(self, run_now, state):
        first, second = run_now(overlap="skip"), run_now(overlap="skip")
        claims.claim_runs([first.pk], worker="w", now=timezone.now())
        Run.objects.filter(pk=first.pk).update(state=state)

        assert claims.claim_runs([second.pk], worker="w", now=timezone.now()) == []

    def test_a_task_is_nobody_elses(self, run_now, simulator):
        first, second = run_now(overlap="skip"), run_now(overlap="skip", qlik_task_id=OTHER_TASK_ID)

        start(first, second)

        assert states(first, second) == ["started", "started"]

    def test_a_task_does_not_end_with_a_run_of_another_one(self, run_now, simulator):
        first = run_now(overlap="skip")
        start(first)
        for _ in range(2):
            other = run_now(overlap="skip", qlik_task_id=OTHER_TASK_ID)
            claims.claim_runs([other.pk], worker="w", now=timezone.now())
            runs.move_runs(Run.objects.filter(pk=other.pk), state=Run.State.SUCCEEDED)
        third = run_now(overlap="skip")

        assert claims.claim_runs([third.pk], worker="w", now=timezone.now()) == []


@pytest.mark.parametrize("schedule", ["is deleted", "has a policy that there is not"])
def test_a_run_whose_policy_is_not_known_starts_beside_others(run_now, simulator, schedule):
    simulator.site.start([UUID(TASK_ID)])
    planned = [run_now(), run_now()]
    if schedule == "is deleted":
        services.delete_schedules([run.schedule_name for run in planned], origin=ORIGIN)
    else:
        Schedule.objects.update(overlap="maybe")

    start(*planned)

    assert states(*planned) == ["started", "started"]
    assert not TaskTurn.objects.exists()


class TestCapitals:
    """A GUID is the same task however it is written."""

    @pytest.mark.parametrize("capitals_first", [True, False])
    @pytest.mark.parametrize("together", [True, False])
    def test_two_schedules_of_a_task_share_its_turn(self, run_now, simulator, capitals_first, together):
        written = [TASK_ID.upper(), TASK_ID] if capitals_first else [TASK_ID, TASK_ID.upper()]
        first, second = (run_now(overlap="skip", qlik_task_id=task_id) for task_id in written)

        for message in [[first, second]] if together else [[first], [second]]:
            start(*message)

        assert states(first, second) == ["started", "skipped"]
        assert len(list_called(simulator)) == 1
        assert TaskTurn.objects.count() == 1

    def test_the_end_of_the_one_lets_the_other_go_on(self, run_now, simulator):
        first, second = run_now(overlap="queue", qlik_task_id=TASK_ID.upper()), run_now(overlap="queue")
        start(first)
        start(second)
        assert states(first, second) == ["started", "waiting"]

        end_reload(simulator)
        start_what_is_due()

        assert states(first, second) == ["succeeded", "started"]

    def test_one_run_waits_however_it_is_written_meanwhile(self, run_now):
        first = run_now(overlap="queue")
        start(first, plan_again(first))
        services.change_schedule(first.schedule_name, values={"qlik_task_id": TASK_ID.upper()}, origin=ORIGIN)

        third = plan_again(first)
        start(third)

        assert (third.qlik_task_id, third.state) == (TASK_ID.upper(), "skipped")

    def test_somebody_elses_reload_is_seen(self, run_now, simulator):
        simulator.site.start([UUID(TASK_ID)])
        run = run_now(overlap="skip", qlik_task_id=TASK_ID.upper())

        start(run)

        assert (run.state, list_called(simulator)) == ("skipped", [])


@pytest.mark.django_db(transaction=True)
class TestWorkersSideBySide:
    def test_who_comes_while_another_takes_a_free_turn_finds_it_taken(self, run_now):
        former, first, second = (run_now(overlap="skip") for _ in range(3))
        claims.claim_runs([former.pk], worker="before", now=timezone.now())
        runs.move_runs(Run.objects.filter(pk=former.pk), state=Run.State.SUCCEEDED)
        claimed: list[claims.ClaimedRun] = []

        def claim_second() -> None:
            claimed.extend(claims.claim_runs([second.pk], worker="second", now=timezone.now()))

        with transaction.atomic():
            assert claims.claim_runs([first.pk], worker="first", now=timezone.now())
            worker = waiting_thread(claim_second)
        worker.join(30)

        assert claimed == []
        assert states(first, second) == ["claimed", "skipped"]

    def test_who_gives_way_holds_the_turn_until_it_is_written_what_becomes_of_the_run(self, run_now):
        first, second = run_now(overlap="queue"), run_now(overlap="queue")
        (claim,) = claims.claim_runs([first.pk], worker="first", now=timezone.now())

        with transaction.atomic():
            claims.give_way({claim: "the task runs already"}, now=timezone.now())
            worker = waiting_thread(lambda: claims.claim_runs([second.pk], worker="second", now=timezone.now()))
        worker.join(30)

        assert states(first, second) == ["waiting", "waiting"]

    @needs_row_locks
    @pytest.mark.parametrize("step", ["claim", "give way"])
    def test_turns_are_taken_in_one_order_whatever_is_due_first(self, run_now, step):
        """Or two workers that have a turn each would wait for the other's."""
        lower, upper = sorted([TASK_ID, OTHER_TASK_ID])
        of_upper = run_now(overlap="skip", qlik_task_id=upper)
        of_lower = run_now(overlap="skip", qlik_task_id=lower)
        keys = [of_upper.pk, of_lower.pk]
        both = claims.claim_runs(keys, worker="w", now=timezone.now()) if step == "give way" else []
        for task_id, run in ((lower, of_lower), (upper, of_upper)):
            with transaction.atomic():
                take_turn(run.pk, task_id=task_id)

        def take_both() -> None:
            if step == "claim":
                claims.claim_runs(keys, worker="w", now=timezone.now())
            else:
                claims.give_way(dict.fromkeys(both, "runs already"), now=timezone.now())

        with transaction.atomic():
            take_lock_of_row(TaskTurn.objects.filter(pk=lower))
            worker = waiting_thread(take_both)
            take_lock_of_row(TaskTurn.objects.filter(pk=upper))
        worker.join(30)
        connection.close()
