"""Run now, asked for twice in a moment: a double click, a request that is sent again, two people at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules import asking, services
from schedules.asking import ONE_REQUEST_WITHIN
from schedules.models import QlikTask, Run, Schedule
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/schedule/"
A, B = (str(UUID(int=number)) for number in (10, 11))
OVER = {"succeeded", "failed", "aborted", "skipped", "refused", "unreachable", "unknown"}
AGAIN = f"told to run less than {ONE_REQUEST_WITHIN.seconds} s ago; a second run is made only when the first is over."


def ask(*schedules: Schedule) -> list[Run]:
    return services.run_now([schedule.name for schedule in schedules], origin=ORIGIN, within=ONE_REQUEST_WITHIN)


def press(client, *schedules: Schedule) -> str:
    """Run schedules by the action of the list; return what the admin says."""
    data = {"action": "run_selected", "_selected_action": [schedule.pk for schedule in schedules]}
    answer = client.post(LIST, data, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def click(client, schedule: Schedule) -> str:
    """Run a schedule by the button of its page; return what the admin says."""
    answer = client.post(f"{LIST}{schedule.pk}/run/", follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


@pytest.mark.parametrize("door", [press, click])
def test_a_double_click_makes_one_run_and_says_so(admin_client, make_schedule, door):
    schedule = make_schedule()

    assert door(admin_client, schedule).startswith("1 schedule told to run now")
    assert door(admin_client, schedule) == f"1 schedule was {AGAIN}"
    assert Run.objects.count() == 1


def test_of_many_that_are_ticked_twice_only_the_new_ones_run(admin_client, make_schedule):
    one, two, three = make_schedule(), make_schedule(), make_schedule()
    press(admin_client, one, two)

    told = press(admin_client, one, two, three)

    assert told.startswith("1 schedule told to run now")
    assert told.endswith(f"2 schedules were {AGAIN}")
    assert Run.objects.count() == 3


@pytest.mark.parametrize("state", Run.State.values)
def test_the_same_run_is_one_that_is_not_over(make_schedule, state):
    schedule = make_schedule()
    (first,) = ask(schedule)
    Run.objects.update(state=state, closed_at=timezone.now() if state in OVER else None)

    (second,) = ask(schedule)

    assert second.was_there is (second.pk == first.pk) is (state not in OVER)


def test_where_reloads_are_not_followed_a_start_counts_though_it_is_an_end(make_schedule):
    schedule = make_schedule()
    (first,) = ask(schedule)
    Run.objects.update(state="started", closed_at=timezone.now())

    assert ask(schedule) == [first]


def test_a_second_run_that_is_meant_works_a_little_later(make_schedule):
    schedule = make_schedule()
    (first,) = ask(schedule)
    Run.objects.update(due_at=timezone.now() - ONE_REQUEST_WITHIN - timedelta(seconds=1), state="started")

    (second,) = ask(schedule)

    assert (second.pk != first.pk, second.was_there) == (True, False)
    assert ask(schedule) == [second]


@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "backfill", "repeated", "api"])
def test_a_run_for_another_reason_is_not_the_same(make_schedule, reason):
    schedule = make_schedule()
    ask(schedule)
    Run.objects.update(reason=reason)

    assert not ask(schedule)[0].was_there


def test_a_run_that_a_clock_ahead_has_made_is_not_the_same(make_schedule):
    schedule = make_schedule()
    ask(schedule)
    Run.objects.update(due_at=timezone.now() + timedelta(days=1))

    assert not ask(schedule)[0].was_there


def test_another_task_is_another_run(make_schedule):
    schedule = make_schedule()
    ask(schedule)
    schedule.qlik_task_id = A
    services.edit_schedule(schedule, origin=ORIGIN)

    assert [run.qlik_task_id for run in ask(schedule) if not run.was_there] == [A]


def test_of_several_tasks_those_run_whose_run_is_over(make_schedule):
    for task_id in (A, B):
        QlikTask.objects.create(id=task_id, name=task_id, tags=["Finance"], seen_at=timezone.now())
    schedule = make_schedule(qlik_task_id="-", target_tag="Finance")
    assert [run.was_there for run in ask(schedule)] == [False, False]
    assert [run.was_there for run in ask(schedule)] == [True, True]

    Run.objects.filter(qlik_task_id=A).update(state="refused", closed_at=timezone.now())

    assert {run.qlik_task_id: run.was_there for run in ask(schedule)} == {A: False, B: True}
    assert Run.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_of_requests_to_several_processes_at_once_one_makes_the_run(make_schedule):
    schedule = make_schedule()
    ready, found = threading.Barrier(4), []

    def request() -> None:
        ready.wait()
        found.extend(ask(schedule))
        connection.close()

    callers = [threading.Thread(target=request) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len({run.pk for run in found}) == Run.objects.count() == 1
    assert sorted(run.was_there for run in found) == [False, True, True, True]


def test_many_schedules_take_few_queries(make_schedule, monkeypatch):
    monkeypatch.setattr(asking, "_PART_SIZE", 10)
    schedules = [make_schedule() for _ in range(30)]
    ask(*schedules[:15])

    with CaptureQueriesContext(connection) as queries:
        found = ask(*schedules)

    assert sum(run.was_there for run in found) == 15
    # The lock, maintenance, schedules, three parts of runs, and what a transaction needs
    assert len([query for query in queries if query["sql"].startswith("SELECT")]) <= 7


def test_who_does_not_ask_for_that_gets_a_run_each_time(make_schedule):
    schedule = make_schedule()

    runs = [services.run_now([schedule.name], origin=ORIGIN) for _ in range(2)]

    assert Run.objects.count() == len(runs)
