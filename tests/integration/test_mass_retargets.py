"""Tasks that Qlik Sense has changed for many schedules at once: found out before the lock that beat waits for."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import connection

from qlik.simulator.tasks import Task
from schedules import known_tasks, services
from schedules.known_tasks import refresh_tasks
from schedules.models import Schedule, ScheduleChange
from schedules.targets import TaskIndex
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

NEW = Task(id=UUID(int=10), name="A new one", app="x", tags=("operations",))
OTHERS = {"tasks": ["Reload License monitor", "A new one, Reload License monitor"]}


def before_the_lock(monkeypatch: pytest.MonkeyPatch, edit: Callable[[], object]) -> None:
    locking = known_tasks.editing

    def edit_and_lock() -> object:
        monkeypatch.setattr(known_tasks, "editing", locking)
        edit()
        return locking()

    monkeypatch.setattr(known_tasks, "editing", edit_and_lock)


def list_retargets() -> list[tuple[str, object]]:
    rows = ScheduleChange.objects.filter(action="retarget").order_by("schedule_pk")
    return list(rows.values_list("schedule_name", "diff"))


@pytest.mark.django_db(transaction=True)
def test_no_target_is_looked_up_while_beat_waits(qrs_service, make_schedule, monkeypatch):
    refresh_tasks()
    names = [make_schedule(qlik_task_id="-", target_tag="Operations").name for _ in range(3)]
    looked_up = []
    resolve = TaskIndex.resolve

    def resolve_and_note(index: TaskIndex, aim: Schedule) -> tuple[str, ...]:
        looked_up.append(connection.in_atomic_block)
        return resolve(index, aim)

    monkeypatch.setattr(TaskIndex, "resolve", resolve_and_note)
    qrs_service.site.put_tasks([NEW], keep_others=True)

    refresh_tasks()

    assert list_retargets() == [(name, OTHERS) for name in names]
    assert looked_up
    assert not any(looked_up)


def test_tasks_with_a_tag_are_sorted_once_for_all_schedules(qrs_service, monkeypatch):
    refresh_tasks()
    index = TaskIndex()
    aims = [Schedule(qlik_task_id=str(UUID(int=number)), target_tag="operations") for number in range(3)]

    meant = [index.list_meant(aim) for aim in aims]

    assert meant[0] is meant[1] is meant[2]
    assert [index.resolve(aim) for aim in aims] == [(aim.qlik_task_id, *meant[0]) for aim in aims]


def test_what_is_edited_in_the_last_moment_is_looked_at_as_it_is_then(qrs_service, make_schedule, monkeypatch):
    refresh_tasks()
    kept = make_schedule(qlik_task_id="-", target_tag="Operations")
    gone = make_schedule(qlik_task_id="-", target_tag="Operations")
    turned = make_schedule(qlik_task_id="-", target_tag="Extract")
    away = make_schedule(qlik_task_id="-", target_tag="Operations")
    qrs_service.site.put_tasks([NEW], keep_others=True)
    made = []

    def edit() -> None:
        services.delete_schedules([gone.name], origin=ORIGIN)
        services.change_schedule(turned.name, values={"target_tag": "Operations"}, origin=ORIGIN)
        services.change_schedule(away.name, values={"target_tag": "Extract"}, origin=ORIGIN)
        made.append(make_schedule(qlik_task_id="-", target_tag="Operations").name)

    before_the_lock(monkeypatch, edit)

    refresh_tasks()

    assert list_retargets() == [(name, OTHERS) for name in (kept.name, turned.name, *made)]
