"""django-celery-beat's own pages in the admin: no way round the rules for schedules."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from butler.celery import app
from schedules.models import Lease, Schedule, ScheduleChange
from schedules.redis_names import read_names

pytestmark = pytest.mark.django_db

TASKS = "/admin/django_celery_beat/periodictask/"
CRONTABS = "/admin/django_celery_beat/crontabschedule/"


@pytest.fixture
def schedule(make_schedule):
    return make_schedule(title="Morning load", cron_schedule="0 6 * * *")


@pytest.fixture
def other_task():
    """A periodic task of the library's, on a crontab of its own."""
    crontab = CrontabSchedule.objects.create(minute="0", hour="4")
    return PeriodicTask.objects.create(name="Clean up", task="celery.backend_cleanup", crontab=crontab)


def snapshot(schedule: Schedule) -> tuple[object, ...]:
    """Everything about the schedule that these pages could change, and the number of its changes."""
    return (
        *Schedule.objects.filter(pk=schedule.pk).values_list(),
        *CrontabSchedule.objects.filter(periodictask=schedule.pk).values_list(),
        ScheduleChange.objects.count(),
    )


def test_schedules_are_not_among_the_periodic_tasks(admin_client, schedule, other_task):
    response = admin_client.get(TASKS)

    assert list(response.context["cl"].result_list) == [other_task]
    assert schedule.name not in response.content.decode()
    assert list(admin_client.get(f"{TASKS}?q={schedule.name}").context["cl"].result_list) == []


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_no_page_of_a_periodic_task_opens_for_a_schedule(admin_client, schedule, page):
    before = snapshot(schedule)

    for response in (
        admin_client.get(f"{TASKS}{schedule.pk}/{page}/"),
        admin_client.post(f"{TASKS}{schedule.pk}/{page}/", {"name": "mine", "post": "yes"}),
        admin_client.post(f"{TASKS}{schedule.pk}/{page}/?_to_field=id&_popup=1", {"post": "yes"}),
    ):
        assert response.status_code == 302
        assert response.url == "/admin/"
    assert snapshot(schedule) == before


@pytest.mark.parametrize("action", ["enable_tasks", "disable_tasks", "toggle_tasks", "run_tasks", "delete_selected"])
@pytest.mark.parametrize("everything", ["0", "1"])
def test_no_action_on_periodic_tasks_reaches_a_schedule(admin_client, schedule, action, everything):
    before = snapshot(schedule)

    admin_client.post(
        TASKS, {"action": action, "_selected_action": [schedule.pk], "select_across": everything, "post": "yes"}
    )

    assert snapshot(schedule) == before


def test_the_autocomplete_of_periodic_tasks_proposes_no_schedule(admin_client, schedule, other_task):
    response = admin_client.get(
        "/admin/autocomplete/?app_label=schedules&model_name=schedule&field_name=periodictask_ptr&term="
    )

    assert [result["id"] for result in response.json()["results"]] == [str(other_task.pk)]


def test_the_library_s_own_tasks_are_edited_and_deleted_as_ever(admin_client, other_task):
    form = admin_client.get(f"{TASKS}{other_task.pk}/change/").context["adminform"].form
    values = {name: form[name].value() or "" for name in form.fields}
    values |= {"start_time_0": "", "start_time_1": "", "expires_0": "", "expires_1": "", "enabled": ""}

    response = admin_client.post(f"{TASKS}{other_task.pk}/change/", values | {"description": "At night"})
    assert response.status_code == 302, response.context["adminform"].form.errors
    other_task.refresh_from_db()
    assert other_task.description == "At night"

    admin_client.post(TASKS, {"action": "delete_selected", "_selected_action": [other_task.pk], "post": "yes"})
    assert not PeriodicTask.objects.exists()


def test_a_periodic_task_cannot_take_the_id_of_a_schedule(admin_client, schedule, other_task):
    response = admin_client.post(
        f"{TASKS}add/", {"name": schedule.name, "task": "x", "crontab": other_task.crontab_id, "args": "[]"}
    )

    assert "name" in response.context["adminform"].form.errors


def test_the_crontab_of_a_schedule_is_shown_read_only_with_its_users(admin_client, schedule):
    page = admin_client.get(f"{CRONTABS}{schedule.crontab_id}/change/").content.decode()

    assert "Morning load" in page
    assert f"/admin/schedules/schedule/{schedule.pk}/change/" in page
    assert 'name="minute"' not in page
    assert "Delete crontab" not in page
    assert schedule.name not in page, "its half in the library's table leads nowhere"


def test_the_crontab_of_a_schedule_cannot_be_edited(admin_client, schedule):
    before = snapshot(schedule)

    response = admin_client.post(
        f"{CRONTABS}{schedule.crontab_id}/change/",
        {"minute": "1", "hour": "1", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "UTC"},
    )

    assert response.status_code == 403
    assert snapshot(schedule) == before


def test_the_crontab_of_a_schedule_cannot_be_deleted_and_the_schedule_not_with_it(admin_client, schedule):
    before = snapshot(schedule)

    assert admin_client.get(f"{CRONTABS}{schedule.crontab_id}/delete/").status_code == 403
    assert admin_client.post(f"{CRONTABS}{schedule.crontab_id}/delete/", {"post": "yes"}).status_code == 403
    assert snapshot(schedule) == before


@pytest.mark.parametrize("everything", ["0", "1"])
def test_deleting_many_crontabs_stops_at_that_of_a_schedule(admin_client, schedule, other_task, everything):
    before = snapshot(schedule)
    selection = {
        "action": "delete_selected",
        "_selected_action": [schedule.crontab_id, other_task.crontab_id],
        "select_across": everything,
    }

    page = admin_client.post(CRONTABS, selection).content.decode()
    assert f'/admin/schedules/schedule/{schedule.pk}/change/">Morning load</a>' in page
    assert "Are you sure" not in page
    admin_client.post(CRONTABS, selection | {"post": "yes"})

    assert snapshot(schedule) == before
    assert PeriodicTask.objects.filter(pk=other_task.pk).exists()


def test_a_crontab_that_a_task_shares_with_a_schedule_is_as_safe(admin_client, schedule):
    PeriodicTask.objects.create(name="Guest", task="celery.backend_cleanup", crontab=schedule.crontab)
    path = f"{CRONTABS}{schedule.crontab_id}"

    assert "Guest" in admin_client.get(f"{path}/change/").content.decode()
    assert admin_client.post(f"{path}/change/", {"minute": "1"}).status_code == 403
    assert admin_client.post(f"{path}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("whose", ["schedule", "other_task"])
def test_the_tasks_listed_on_a_crontab_are_not_edited_there(admin_client, schedule, other_task, whose):
    task = {"schedule": schedule.periodictask_ptr, "other_task": other_task}[whose]
    form = {"minute": "0", "hour": "4", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    inline = {
        "periodictask_set-TOTAL_FORMS": "1",
        "periodictask_set-INITIAL_FORMS": "1",
        "periodictask_set-0-id": str(task.pk),
        "periodictask_set-0-crontab": str(task.crontab_id),
        "periodictask_set-0-name": "mine",
        "periodictask_set-0-task": "os.system",
        "periodictask_set-0-DELETE": "on",
    }

    admin_client.post(f"{CRONTABS}{other_task.crontab_id}/change/", form | {"timezone": "UTC"} | inline)

    after = PeriodicTask.objects.get(pk=task.pk)
    assert (after.name, after.task) == (task.name, task.task)


def test_a_crontab_without_a_schedule_is_edited_and_deleted_as_ever(admin_client, other_task):
    path = f"{CRONTABS}{other_task.crontab_id}"
    form = {"minute": "5", "hour": "4", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    formset = {"periodictask_set-TOTAL_FORMS": "0", "periodictask_set-INITIAL_FORMS": "0"}

    assert admin_client.post(f"{path}/change/", form | {"timezone": "UTC"} | formset).status_code == 302
    assert CrontabSchedule.objects.get().minute == "5"
    assert "none" in admin_client.get(f"{path}/change/").content.decode()
    admin_client.post(f"{path}/delete/", {"post": "yes"})
    assert not PeriodicTask.objects.exists(), "as the library has it"


@pytest.mark.parametrize(
    ("field", "times"),
    [
        ("interval", lambda: IntervalSchedule.objects.create(every=10, period="seconds")),
        ("clocked", lambda: ClockedSchedule.objects.create(clocked_time=datetime(2030, 1, 1, tzinfo=UTC))),
        ("solar", lambda: SolarSchedule.objects.create(event="sunrise", latitude=0, longitude=0)),
    ],
)
def test_times_of_another_kind_given_to_a_schedule_by_hand_do_not_take_it_along(admin_client, schedule, field, times):
    row = times()
    PeriodicTask.objects.filter(pk=schedule.pk).update(**{field: row})
    path = f"/admin/django_celery_beat/{row._meta.model_name}/"

    assert admin_client.get(f"{path}{row.pk}/change/").status_code == 200
    assert admin_client.post(f"{path}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(path, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert Schedule.objects.filter(pk=schedule.pk).exists()


def test_a_crontab_used_by_many_schedules_names_the_first_of_them(admin_client, make_schedule):
    for number in range(25):
        schedule = make_schedule(title=f"Schedule {number}.")

    page = admin_client.get(f"{CRONTABS}{schedule.crontab_id}/change/").content.decode()

    assert "Schedule 19." in page
    assert "Schedule 20." not in page
    assert "and others" in page


def test_someone_who_may_look_at_periodic_tasks_can_only_look(schedule, other_task):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_periodictask", "view_crontabschedule"]))
    client = Client()
    client.force_login(user)

    assert client.get(f"{TASKS}{other_task.pk}/change/").status_code == 200
    assert client.post(f"{TASKS}{other_task.pk}/change/", {"name": "mine"}).status_code == 403
    assert client.get(f"{CRONTABS}{schedule.crontab_id}/change/").status_code == 200


def test_the_lease_and_the_library_s_flag_have_no_page(admin_client):
    registered = {model._meta.label for model in admin.site._registry}

    assert Lease not in admin.site._registry
    assert registered == {
        "auth.Group",
        "auth.User",
        "django_celery_beat.ClockedSchedule",
        "django_celery_beat.CrontabSchedule",
        "django_celery_beat.IntervalSchedule",
        "django_celery_beat.PeriodicTask",
        "django_celery_beat.SolarSchedule",
        # A channel is no rule of a schedule; of the others nothing can be changed
        "schedules.AlertChannel",
        "schedules.AlertCondition",
        "schedules.AlertMessage",
        # Add begins one through the services, and nothing of it can be changed
        "schedules.Maintenance",
        # Read from Qlik Sense, and nothing of it can be changed
        "schedules.QlikTask",
        "schedules.Run",
        "schedules.Schedule",
        "schedules.ScheduleChange",
    }, "whoever registers another model asks first how it could pass by the rules"


def test_the_choice_of_tasks_is_offered_as_the_library_does(admin_client):
    page = admin_client.get(f"{TASKS}add/").content.decode()

    assert "schedules.sweep_runs" in page
    assert "schedules.watch" in page
    assert json.loads(page.partition('id="readable-crontabs" type="application/json">')[2].partition("<")[0]) == {}


def test_a_task_that_is_run_by_hand_goes_to_the_queue_that_workers_listen_to(admin_client, other_task, redis_server):
    """In a process that has sent no message before."""
    app.conf.update(task_default_queue="celery")
    for name in ("queues", "router"):
        vars(app.amqp).pop(name, None)

    admin_client.post(TASKS, {"action": "run_tasks", "_selected_action": [other_task.pk]})

    with redis_server.client() as client:
        (message,) = client.lrange(read_names().queue, 0, -1)
        assert json.loads(message)["headers"]["task"] == "celery.backend_cleanup"


@pytest.mark.parametrize("zone", ["Mars/Base", "localtime", "Europe", "../../etc/passwd", "x" * 63])
def test_a_zone_that_has_disappeared_breaks_no_page(admin_client, other_task, schedule, zone):
    crontabs = CrontabSchedule.objects.filter(pk__in=[other_task.crontab_id, schedule.crontab_id])
    assert update_column(crontabs, "timezone", zone) == 2

    for path in (CRONTABS, TASKS, f"{TASKS}add/", f"{CRONTABS}{other_task.crontab_id}/change/"):
        assert admin_client.get(path).status_code == 200, path
    for path in (f"{CRONTABS}{schedule.crontab_id}/change/", f"{TASKS}{other_task.pk}/change/"):
        assert admin_client.get(path).status_code == 200, path
    assert zone in admin_client.get(CRONTABS).content.decode()
    assert admin_client.get(f"{CRONTABS}{other_task.crontab_id}/delete/").status_code == 200


def update_column(rows: QuerySet, column: str, text: str) -> int:
    """Write a text that the column's own field would refuse."""
    keys = list(rows.values_list("pk", flat=True))
    table = rows.model._meta.db_table
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [text, key])  # noqa: S608
    return len(keys)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "x" * 201),
        ("task", "a\0b"),
        ("regtask", "x" * 201),
        ("regtask", "a\0b"),
        ("args", "[" * 100_000),
        ("kwargs", "[" * 100_000),
    ],
)
def test_a_value_that_no_task_can_have_is_told_at_its_field(admin_client, other_task, field, value):
    values = {"name": "Odd", "task": "x", "crontab": other_task.crontab_id, "args": "[]", "kwargs": "{}"}

    response = admin_client.post(f"{TASKS}add/", {**values, field: value})

    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors


@pytest.mark.parametrize("minute", ["-1", "99", "x", "*/0", "9" * 30, "²"])
def test_times_that_are_none_are_told_at_their_field(admin_client, other_task, minute):
    values = {"hour": "4", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "UTC"}
    counts = {"periodictask_set-TOTAL_FORMS": 0, "periodictask_set-INITIAL_FORMS": 0}
    page = f"{CRONTABS}{other_task.crontab_id}/change/"

    response = admin_client.post(page, {**values, **counts, "minute": minute})

    assert response.status_code == 200
    assert "minute" in response.context["adminform"].form.errors
