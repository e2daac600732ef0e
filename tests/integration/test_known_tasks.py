"""The tasks of Qlik Sense in our own table: read in one call, compared, kept while QRS is down."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.utils import timezone

from butler import celery
from qlik.errors import QrsError
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.tasks import Task
from schedules import qrs, tasks
from schedules.known_tasks import NoTasksError, Refresh, find_task, last_read_at, refresh_old_tasks, refresh_tasks
from schedules.models import QlikTask
from schedules.redis_names import read_names
from tests.conftest import TASK_ID
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

SALES = UUID(TASK_ID)


@pytest.fixture
def site(qrs_service):
    """The tasks of the simulated site."""
    return qrs_service.site


def test_all_tasks_are_read_in_one_call(qrs_service):
    assert refresh_tasks() == Refresh(total=6, new=6, changed=0, gone=0)

    assert [entry.call for entry in qrs_service.entries()] == ["tasks"]
    task = QlikTask.objects.get(pk="3c1f7a52-9d0e-4b86-8a57-1e2d64c0b9f1")
    assert (task.name, task.app_name, task.is_enabled, task.max_retries) == (
        "Extract ERP orders",
        "Extract ERP orders",
        True,
        1,
    )
    assert UUID(task.app_id)
    assert task.tags == ["Extract", "Finance"]
    assert task.custom_properties == [["Department", "Finance"], ["Layer", "Extract"]]
    assert (task.last_status, task.last_ended_at, task.gone_at, task.previous_name) == (None, None, None, "")
    assert str(task) == task.name


def test_what_stays_the_same_is_only_seen_again(site):
    refresh_tasks()
    before = last_read_at()

    assert refresh_tasks() == Refresh(total=6, new=0, changed=0, gone=0)

    assert last_read_at() > before
    assert QlikTask.objects.values("seen_at").distinct().count() == 1


def test_what_no_database_takes_is_replaced(site):
    site.change_task(SALES, name="Sales\0 and more", tags=("\0",))

    refresh_tasks()

    task = find_task(TASK_ID)
    assert (task.name, task.tags) == ("Sales\ufffd and more", ["\ufffd"])


def test_a_task_that_is_renamed_keeps_its_former_name(site):
    refresh_tasks()
    site.change_task(SALES, name="Sales, new", tags=("Sales",), enabled=False)

    assert refresh_tasks().changed == 1
    refresh_tasks()

    task = find_task(TASK_ID.upper())
    assert (task.name, task.previous_name, task.tags, task.is_enabled) == (
        "Sales, new",
        "Reload Sales overview",
        ["Sales"],
        False,
    )
    assert task.renamed_at < last_read_at()


def test_a_task_that_is_gone_stays_with_the_moment_and_may_come_back(site):
    refresh_tasks()
    site.remove_tasks([SALES])

    assert refresh_tasks() == Refresh(total=5, new=0, changed=0, gone=1)
    task = find_task(TASK_ID)
    assert task.gone_at is not None
    assert task.seen_at < last_read_at()
    assert refresh_tasks().gone == 0, "it is missed once"

    site.put_tasks([Task(id=SALES, name=task.name, app="Sales overview")], keep_others=True)
    assert refresh_tasks().changed == 1
    assert find_task(TASK_ID).gone_at is None


def test_the_last_reload_is_kept(site):
    site.start([SALES])
    site.remove_tasks([task.id for task in qrs_tasks(site) if task.id != SALES])
    site.stop(SALES)
    site.change_task(SALES, name="x")

    refresh_tasks()

    assert find_task(TASK_ID).last_status > 0


def qrs_tasks(site) -> list[Task]:
    return list(site.tasks.values())


def test_while_qrs_is_down_what_is_known_stays(qrs_service):
    refresh_tasks()
    known = list(QlikTask.objects.values())
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

    with pytest.raises(QrsError):
        refresh_tasks()

    assert list(QlikTask.objects.values()) == known


def test_an_answer_without_any_task_is_not_believed(site):
    assert refresh_tasks().total == 6
    site.put_tasks([], keep_others=False)

    with pytest.raises(NoTasksError, match="QRS_USER"):
        refresh_tasks()

    assert QlikTask.objects.filter(gone_at=None).count() == 6


def test_a_site_without_tasks_is_believed_at_first(site):
    site.put_tasks([], keep_others=False)

    assert refresh_tasks() == Refresh(total=0, new=0, changed=0, gone=0)
    assert last_read_at() is None


def test_two_workers_that_begin_together_ask_once(qrs_service):
    assert refresh_old_tasks(older_than=timedelta(seconds=10)) is not None
    assert refresh_old_tasks(older_than=timedelta(seconds=10)) is None

    QlikTask.objects.update(seen_at=timezone.now() - timedelta(seconds=11))
    assert refresh_old_tasks(older_than=timedelta(seconds=10)) is not None


def test_a_refresh_beside_this_one_may_have_been_first(qrs_service, monkeypatch):
    nothing_known = QlikTask.objects.none()
    refresh_tasks()
    monkeypatch.setattr(QlikTask.objects, "in_bulk", lambda: {task.pk: task for task in nothing_known})

    assert refresh_tasks().new == 6
    assert QlikTask.objects.count() == 6


def test_five_thousand_tasks_cost_few_statements(site, settings, django_assert_max_num_queries):
    settings.QRS_TIMEOUT = (5.0, 30.0)
    qrs._client.cache_clear()
    many = [Task(id=UUID(int=number), name=f"Task {number}", app="App", tags=("A",)) for number in range(1, 5001)]
    site.put_tasks(many, keep_others=False)

    with django_assert_max_num_queries(100):
        assert refresh_tasks().new == 5000
    with django_assert_max_num_queries(5):
        assert refresh_tasks().changed == 0


def test_the_celery_task_reads_them_and_says_what_is_new(qrs_service, caplog):
    tasks.read_tasks()

    assert QlikTask.objects.count() == 6
    assert "Qlik Sense has 6 tasks, 6 of them new, and 0 gone" in caplog.text


def test_the_celery_task_lives_on_without_qrs(qrs_service, caplog):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

    tasks.read_tasks()

    assert "what is known of them stays" in caplog.text


def test_a_worker_that_is_ready_has_them_read(redis_server):
    celery.name_queue()
    celery.read_tasks(sender=SimpleNamespace(app=celery.app))

    with redis_server.client() as client:
        assert client.llen(read_names().queue) == 1


class TestCommand:
    def test_it_shows_what_is_known_with_its_age(self, qrs_service):
        QlikTask.objects.create(
            id=TASK_ID,
            name="Sales",
            app_name="Overview",
            tags=["Sales", "Transform"],
            custom_properties=[["Department", "Sales"]],
            seen_at=timezone.now() - timedelta(minutes=12),
        )
        QlikTask.objects.create(
            id=str(UUID(int=1)), name="Zone", is_enabled=False, seen_at=timezone.now() - timedelta(minutes=12)
        )
        QlikTask.objects.create(id=str(UUID(int=2)), name="Gone", seen_at=timezone.now(), gone_at=timezone.now())
        QlikTask.objects.filter(name="Gone").update(seen_at=timezone.now() - timedelta(hours=1))

        lines = schedules("tasks").out.splitlines()

        assert lines[:7] == [
            "gone      00000000-0000-0000-0000-000000000002",
            "          Gone",
            f"enabled   {TASK_ID}",
            "          Sales (app Overview)",
            "          Sales, Transform, Department=Sales",
            "disabled  00000000-0000-0000-0000-000000000001",
            "          Zone",
        ]
        assert " ".join(lines[7:]).startswith("As Qlik Sense told 12 min ago, at 20")
        assert qrs_service.entries() == []

    def test_refresh_asks_first(self, qrs_service):
        lines = schedules("tasks", "--refresh").out.splitlines()

        assert lines[0] == "6 tasks: 6 new, 0 changed, 0 gone."
        assert f"enabled   {TASK_ID}" in lines
        assert len([line for line in lines if len(line) > 80]) == 0

    def test_without_an_answer_it_says_how_old_the_rest_is(self, qrs_service):
        qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

        assert "has not told of any task yet" in " ".join(schedules("tasks", "--refresh").refusal.split())
        assert "has not told of any task yet" in schedules("tasks").out
