"""Stops of reloads: by the API, and by the buttons of a run and of schedules."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client

from qlik.simulator.faults import Fault, FaultKind
from schedules.models import Run
from tests.conftest import TASK_ID

pytestmark = pytest.mark.django_db

UNKNOWN = "00000000-0000-4000-8000-00000000dead"
STOP = f"/v4/reloadtask/{TASK_ID}/stop"
SALES = {"taskId": TASK_ID, "taskName": "Reload Sales overview"}
SCHEDULES, RUNS = "/admin/schedules/schedule/", "/admin/schedules/run/"


@pytest.fixture
def run(client, qrs_service) -> Run:
    """A run whose reload is under way."""
    client.put(f"/v4/reloadtask/{TASK_ID}/start")
    return Run.objects.get()


def stops(qrs_service) -> int:
    return sum(entry.call == "stop" for entry in qrs_service.entries())


def told(response) -> str:
    return str(list(get_messages(response.wsgi_request))[-1])


@pytest.mark.parametrize("method", ["put", "post"])
def test_a_reload_is_stopped_and_its_run_says_by_whom(client, qrs_service, run, method):
    answer = getattr(client, method)(STOP)

    assert answer.json() == {"tasksId": {"stopped": [SALES], "notRunning": [], "invalid": [], "denied": []}}
    assert stops(qrs_service) == 1
    run.refresh_from_db()
    assert run.message.startswith("Asked for by 127.0.0.1, API. Told to stop at ")
    assert run.message.endswith(" UTC by 127.0.0.1, API.")


def test_a_task_that_does_not_run_is_told_apart(client, qrs_service):
    assert client.put(STOP).json() == {"tasksId": {"stopped": [], "notRunning": [SALES], "invalid": [], "denied": []}}


@pytest.mark.parametrize("task_id", [UNKNOWN, "abc123", "-"])
def test_what_is_no_task_is_invalid(client, qrs_service, task_id):
    answer = client.put(f"/v4/reloadtask/{task_id}/stop")

    assert answer.json() == {
        "tasksId": {"stopped": [], "notRunning": [], "invalid": [{"taskId": task_id}], "denied": []}
    }
    assert stops(qrs_service) == 0


@pytest.mark.parametrize(
    ("status", "answered", "says"), [(503, 503, "Nothing was stopped."), (500, 502, "still runs"), (403, 502, "403")]
)
def test_a_stop_that_fails_is_an_error(client, qrs_service, run, status, answered, says):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=status, calls=("stop",)))

    answer = client.put(STOP)

    assert (answer.status_code, answer.json()["statusCode"]) == (answered, answered)
    assert says in answer.json()["message"]
    run.refresh_from_db()
    assert "stop" not in run.message


def test_a_run_that_was_over_keeps_its_message(client, qrs_service, run):
    client.put(STOP)
    Run.objects.update(message="Done", qrs_session=UNKNOWN)

    client.put(STOP)

    run.refresh_from_db()
    assert run.message == "Done"


def test_the_button_of_a_run_stops_its_reload(admin_client, qrs_service, run):
    page = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()
    assert "Stop the reload" in page
    assert "whole site" not in page

    response = admin_client.post(f"{RUNS}{run.pk}/stop/")

    assert "told to stop" in told(response)
    run.refresh_from_db()
    assert run.message.endswith(" UTC by admin, admin.")


def test_a_run_that_did_not_start_has_no_such_button(admin_client, qrs_service, run):
    Run.objects.update(state="refused")

    assert "Stop the reload" not in admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()


def test_the_button_says_when_qrs_is_away(admin_client, qrs_service, run):
    admin_client.post(f"{RUNS}{run.pk}/stop/")
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

    assert "QRS_URL" in told(admin_client.post(f"{RUNS}{run.pk}/stop/"))


def test_the_button_says_when_the_task_did_not_run_any_more(admin_client, qrs_service, run):
    qrs_service.site.lose_sessions(keep_results=True)

    assert told(admin_client.post(f"{RUNS}{run.pk}/stop/")) == "The task was not running any more."


def test_who_may_not_change_schedules_may_not_stop_reloads(qrs_service, run):
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client = Client()
    client.force_login(user)

    assert "Stop the reload" not in client.get(f"{RUNS}{run.pk}/change/").content.decode()
    assert client.post(f"{RUNS}{run.pk}/stop/").status_code == 403
    assert stops(qrs_service) == 0


def test_the_stop_of_a_run_is_a_post_of_a_run_that_exists(admin_client, qrs_service, run):
    assert admin_client.get(f"{RUNS}{run.pk}/stop/").status_code == 405
    assert admin_client.post(f"{RUNS}{UNKNOWN}/stop/").status_code == 302
    assert stops(qrs_service) == 0


def test_the_button_of_a_schedule_stops_its_reload(admin_client, qrs_service, run, make_schedule):
    schedule = make_schedule(qlik_task_id=TASK_ID.upper())

    response = admin_client.post(f"{SCHEDULES}{schedule.pk}/stop_reload/")

    assert told(response) == "1 schedule told to stop the reload, which takes Qlik Sense a while."
    assert stops(qrs_service) == 1


def test_the_action_counts_the_schedules_that_were_reloading(admin_client, qrs_service, run, make_schedule):
    idle = make_schedule(qlik_task_id="c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42")
    chosen = [make_schedule().pk, idle.pk]

    response = admin_client.post(SCHEDULES, {"action": "stop_reload_selected", "_selected_action": chosen})

    assert told(response).endswith("1 schedule was not reloading.")


def test_the_action_tells_when_qrs_is_away(admin_client, qrs_service, make_schedule):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

    response = admin_client.post(f"{SCHEDULES}{make_schedule().pk}/stop_reload/")

    assert told(response).startswith("QRS answered 503")
    assert "Nothing was stopped." in told(response)
