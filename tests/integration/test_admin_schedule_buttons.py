"""Start, stop, run and delete in the admin: by whom, how, and through the services."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client

from schedules import services
from schedules.admin.operations import OPERATIONS
from schedules.models import Run, Schedule, ScheduleChange
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/schedule/"


def button(schedule: Schedule, operation: str) -> str:
    return f"{LIST}{schedule.pk}/{operation}/"


def select(client, action: str, *schedules: Schedule, **more: str):
    data = {"action": action, "_selected_action": [schedule.pk for schedule in schedules]}
    return client.post(LIST, data | more)


def told(response) -> str:
    """The message that the answer has left for the next page; those before it are still unread."""
    return str(list(get_messages(response.wsgi_request))[-1])


@pytest.fixture
def client_of():
    """Return a function that logs a member of staff in who has the given permissions for schedules."""

    def log_in(*actions: str) -> Client:
        user = User.objects.create_user("-".join(actions) or "nobody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=[f"{a}_schedule" for a in actions]))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def test_the_button_stops_and_starts_one_schedule(admin_client, make_schedule):
    schedule = make_schedule()

    response = admin_client.post(button(schedule, "stop"))
    schedule.refresh_from_db()
    assert not schedule.enabled
    assert told(response) == "1 schedule stopped."
    assert response.url == f"{LIST}{schedule.pk}/change/"

    response = admin_client.post(button(schedule, "start"))
    schedule.refresh_from_db()
    assert schedule.enabled
    assert told(response) == "1 schedule started."
    changes = ScheduleChange.objects.order_by("pk").values_list("action", "source", "actor")
    assert list(changes)[1:] == [("stop", "admin", "admin"), ("start", "admin", "admin")]


def test_the_button_runs_one_schedule_now_even_a_stopped_one(admin_client, make_schedule):
    schedule = make_schedule(startup_state="stopped")

    response = admin_client.post(button(schedule, "run"))

    run = Run.objects.get()
    assert (run.schedule_id, run.reason, run.state) == (schedule.pk, "manual", "planned")
    assert "admin" in run.message
    assert told(response).startswith("1 schedule told to run now")


def test_the_page_offers_what_can_be_done(admin_client, make_schedule):
    started, stopped = make_schedule(), make_schedule(startup_state="stopped")

    page = admin_client.get(f"{LIST}{started.pk}/change/").content.decode()
    assert f'action="{button(started, "stop")}"' in page
    assert f'action="{button(started, "start")}"' not in page
    page = admin_client.get(f"{LIST}{stopped.pk}/change/").content.decode()
    assert f'action="{button(stopped, "start")}"' in page
    assert f'action="{button(stopped, "run")}"' in page


@pytest.mark.parametrize("operation", ["start", "stop", "run"])
def test_following_a_link_does_nothing(admin_client, make_schedule, operation):
    schedule = make_schedule(startup_state="started" if operation == "stop" else "stopped")

    assert admin_client.get(button(schedule, operation)).status_code == 405

    assert Schedule.objects.get().enabled is schedule.enabled
    assert not Run.objects.exists()


@pytest.mark.parametrize("operation", ["start", "stop", "run"])
def test_a_form_on_another_site_does_nothing(admin_user, make_schedule, operation):
    schedule = make_schedule()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    assert client.post(button(schedule, operation)).status_code == 403

    assert Schedule.objects.get().enabled
    assert not Run.objects.exists()


def test_a_button_for_a_schedule_that_is_gone_says_so(admin_client):
    response = admin_client.post(f"{LIST}4711/run/")

    assert response.status_code == 302
    assert "Perhaps it was deleted" in told(response)


def test_many_schedules_are_started_and_stopped_with_counts(admin_client, make_schedule):
    schedules = [make_schedule(startup_state=state) for state in ("started", "stopped", "stopped")]

    response = select(admin_client, "start_selected", *schedules)
    assert told(response) == "2 schedules started. 1 schedule was started already."
    assert Schedule.objects.filter(enabled=True).count() == 3

    assert told(select(admin_client, "stop_selected", *schedules[1:])) == "2 schedules stopped."
    response = select(admin_client, "stop_selected", *schedules[1:])
    assert told(response) == "2 schedules were stopped already."
    assert [schedule.enabled for schedule in Schedule.objects.order_by("pk")] == [True, False, False]


def test_many_schedules_are_run_now(admin_client, make_schedule):
    schedules = [make_schedule(), make_schedule(startup_state="stopped"), make_schedule()]

    response = select(admin_client, "run_selected", *schedules[:2])

    assert told(response).startswith("2 schedules told to run now")
    assert set(Run.objects.values_list("schedule_id", flat=True)) == {s.pk for s in schedules[:2]}


def test_when_someone_else_deletes_a_schedule_at_that_moment_nothing_is_done(admin_client, make_schedule, monkeypatch):
    schedules = [make_schedule(), make_schedule()]

    def stop_too_late(*args, **kwargs):
        services.delete_schedules([schedules[0].name], origin=ORIGIN)
        return services.stop_schedules(*args, **kwargs)

    monkeypatch.setitem(OPERATIONS, "stop", replace(OPERATIONS["stop"], service=stop_too_late))
    response = select(admin_client, "stop_selected", *schedules)

    assert told(response).startswith("Nothing was done. A schedule was deleted in the meantime")
    assert Schedule.objects.get().enabled


def test_one_schedule_is_deleted_by_the_services(admin_client, make_schedule):
    schedule = make_schedule()
    services.run_now([schedule.name], origin=ORIGIN)

    page = admin_client.get(f"{LIST}{schedule.pk}/delete/").content.decode()
    assert "Periodic task" not in page.partition("Summary")[2]
    admin_client.post(f"{LIST}{schedule.pk}/delete/", {"post": "yes"})

    assert not Schedule.objects.exists()
    assert Run.objects.count() == 1, "runs outlive their schedule"
    change = ScheduleChange.objects.latest("pk")
    assert (change.action, change.source, change.actor) == ("delete", "admin", "admin")


def test_many_schedules_are_deleted_by_the_services(admin_client, make_schedule):
    schedules = [make_schedule(), make_schedule(), make_schedule(title="Kept")]

    page = select(admin_client, "delete_selected", *schedules[:2]).content.decode()
    assert "Are you sure" in page
    assert Schedule.objects.count() == 3
    response = select(admin_client, "delete_selected", *schedules[:2], post="yes")

    assert "2 schedules" in told(response)
    assert Schedule.objects.get().title == "Kept"
    assert ScheduleChange.objects.filter(action="delete", source="admin").count() == 2


def test_someone_who_may_only_look_can_only_look(client_of, make_schedule):
    schedule = make_schedule(tags=["Sales"])
    client = client_of("view")

    response = client.get(LIST)
    assert response.status_code == 200
    assert response.context["action_form"] is None
    page = client.get(f"{LIST}{schedule.pk}/change/").content.decode()
    assert schedule.title in page
    assert '<span class="cell-tag">Sales</span>' in page
    assert "<select" not in page
    assert button(schedule, "stop") not in page
    for operation in ("start", "stop", "run"):
        assert client.post(button(schedule, operation)).status_code == 403
    assert client.post(f"{LIST}{schedule.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}{schedule.pk}/change/", {"title": "New"}).status_code == 403
    for action in ("start_selected", "stop_selected", "run_selected", "delete_selected"):
        select(client, action, schedule, post="yes")
    assert ScheduleChange.objects.count() == 1
    assert not Run.objects.exists()


def test_permission_to_change_is_no_permission_to_delete(client_of, make_schedule):
    schedule = make_schedule()
    client = client_of("change")

    assert client.post(button(schedule, "stop")).status_code == 302
    assert not Schedule.objects.get().enabled
    assert client.post(f"{LIST}{schedule.pk}/delete/", {"post": "yes"}).status_code == 403


def test_permission_to_delete_schedules_is_enough_to_delete_one(client_of, make_schedule):
    schedule = make_schedule()
    client = client_of("view", "delete")

    select(client, "delete_selected", schedule, post="yes")

    assert not Schedule.objects.exists()


def test_nobody_gets_in_without_a_permission(client, client_of, make_schedule):
    schedule = make_schedule()
    without = client_of()

    for someone, refused in ((client, 302), (without, 403)):
        assert someone.get(LIST).status_code == refused
        assert someone.get(f"{LIST}preview/").status_code == refused
        assert someone.post(button(schedule, "run")).status_code == refused
    assert not Run.objects.exists()
