"""What is said of schedules whose tasks look wrong: in the admin, the API and on the command line."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from schedules.models import QlikTask, Schedule
from schedules.task_warnings import count_misdirected, list_warnings
from schedules.vitals import read_vitals
from tests.conftest import TASK_ID
from tests.integration.api_calls import add
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/schedule/"
OTHER_ID = str(UUID(int=1))


def know(task_id: str = TASK_ID, **values: object) -> QlikTask:
    given = {"name": "Sales", "app_name": "Overview", "seen_at": timezone.now()} | values
    return QlikTask.objects.create(id=task_id, **given)


def warning_of(schedule: Schedule) -> str:
    return list_warnings([schedule]).get(schedule.pk, "")


def test_a_sound_task_is_nothing_to_speak_of(make_schedule):
    know()

    assert warning_of(make_schedule(qlik_task_id=TASK_ID.upper())) == ""
    assert count_misdirected() == 0


def test_where_tasks_were_never_read_nothing_is_said(make_schedule):
    assert warning_of(make_schedule()) == ""
    assert count_misdirected() == 0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"is_enabled": False}, "'Sales' is disabled in Qlik Sense"),
        ({"gone_at": timezone.now()}, "no task 'Sales' since"),
    ],
)
def test_a_task_that_cannot_start_is_told(make_schedule, values, says):
    know(OTHER_ID)
    know(**values)

    assert says in warning_of(make_schedule())
    assert count_misdirected() == 1


def test_an_unknown_task_is_told(make_schedule):
    know(OTHER_ID)

    assert warning_of(make_schedule()) == "Qlik Sense has no reload task with this id."
    assert count_misdirected() == 1


def test_a_renamed_task_is_told_for_a_week(make_schedule):
    task = know(previous_name="Turnover", renamed_at=timezone.now() - timedelta(days=6))
    schedule = make_schedule()
    assert "'Turnover' was renamed to 'Sales'" in warning_of(schedule)
    assert count_misdirected() == 0

    QlikTask.objects.update(renamed_at=task.renamed_at - timedelta(days=2))
    assert warning_of(schedule) == ""


def test_what_is_old_says_so(make_schedule):
    know(OTHER_ID, seen_at=timezone.now() - timedelta(minutes=16))

    assert "it has not told of its tasks since" in warning_of(make_schedule())


def test_a_stopped_schedule_does_not_count_for_the_health(make_schedule):
    know(OTHER_ID)
    schedule = make_schedule(startup_state="stopped")

    assert warning_of(schedule)
    assert count_misdirected() == 0


def test_a_row_broken_by_hand_is_told_of_as_well(make_schedule):
    know(OTHER_ID)
    schedule = make_schedule()
    schedule.qlik_task_id = None

    assert warning_of(schedule)


def test_it_costs_two_queries_for_any_number_of_schedules(make_schedule, django_assert_num_queries):
    know(OTHER_ID)
    many = [make_schedule() for _ in range(20)]

    with django_assert_num_queries(2):
        assert len(list_warnings(many)) == 20


class TestAdmin:
    def test_the_list_has_the_name_of_the_task_and_the_warning(self, admin_client, make_schedule):
        know(is_enabled=False)
        make_schedule()
        make_schedule(qlik_task_id=OTHER_ID)

        page = admin_client.get(LIST).content.decode()

        assert "The task &#x27;Sales&#x27; is disabled" in page
        assert "Qlik Sense has no reload task with this id." in page

    def test_the_form_has_the_warning_above_it_and_still_saves(self, admin_client, make_schedule):
        know(is_enabled=False)
        page = admin_client.get(f"{LIST}{make_schedule().pk}/change/").content.decode()

        assert "The task &#x27;Sales&#x27; is disabled" in page
        assert "Sales, app Overview, disabled" in page


class TestApi:
    def test_bodies_of_schedules_have_no_word_of_it(self, client):
        add("task-1")
        before = client.get("/v4/schedules").content
        know(OTHER_ID)

        assert client.get("/v4/schedules").content == before

    def test_the_warnings_have_an_endpoint_of_their_own(self, client):
        know(OTHER_ID)
        add("sound", qlik_task_id=OTHER_ID)
        add("task-1")

        assert client.get("/v4/reloadtask/warnings").json() == [
            {
                "id": "task-1",
                "name": "Hourly",
                "taskId": TASK_ID,
                "warning": "Qlik Sense has no reload task with this id.",
            }
        ]

    def test_the_health_counts_them_and_stays_as_it_is(self, client, make_schedule):
        know(OTHER_ID)
        before = read_vitals().problems
        make_schedule()
        (warning,) = client.get("/v4/health").json()["warnings"]
        assert warning.startswith("1 started schedule aims at a task that Qlik Sense does not have")
        assert read_vitals().problems == before

        make_schedule()
        assert "2 started schedules aim at tasks" in read_vitals().warnings[0]

    def test_the_known_tasks_are_listed_with_their_age(self, client):
        assert client.get("/v4/reloadtask").json() == {"readAt": None, "tasks": []}
        task = know(
            tags=["Sales"], custom_properties=[["Layer", "Extract"]], last_status=7, last_ended_at=timezone.now()
        )
        know(OTHER_ID, name="Zone", gone_at=timezone.now(), previous_name="Zoo")

        answer = client.get("/v4/reloadtask").json()

        assert answer["readAt"].endswith("Z")
        assert answer["tasks"][0] == {
            "taskId": TASK_ID,
            "taskName": "Sales",
            "appId": "",
            "appName": "Overview",
            "enabled": True,
            "tags": ["Sales"],
            "customProperties": [{"name": "Layer", "value": "Extract"}],
            "maxRetries": 0,
            "lastStatus": "finished success",
            "lastEndedAt": task.last_ended_at.isoformat().replace("+00:00", "Z"),
        }
        assert answer["tasks"][1].keys() - answer["tasks"][0].keys() == {"goneAt", "previousName"}


class TestCommand:
    def test_the_list_has_the_warning_beneath(self):
        know(OTHER_ID)
        add("task-1")

        assert schedules("list").out.splitlines()[-1] == "         Warning: Qlik Sense has no reload task with this id."

    def test_show_tells_all_about_a_schedule(self):
        know(is_enabled=False)
        add("task-1", cron_schedule="0 6 * * *", tags=["Sales"], max_runs=5)

        lines = schedules("show", "task-1").out.splitlines()

        assert lines[:5] == [
            "id              task-1",
            "name            Hourly",
            "state           started",
            "when            0 6 * * * (UTC): At 06:00, every day",
            lines[4],
        ]
        assert lines[4].startswith("next start      20")
        text = " ".join(" ".join(lines[5:]).split())
        assert text == (
            f"Qlik task {TASK_ID} Sales, app Overview last run none yet tags Sales maxRuns 5 "
            "Warning: The task 'Sales' is disabled in Qlik Sense, which refuses to start it."
        )

    def test_show_refuses_an_unknown_id(self):
        assert "no schedule with the id 'nobody'" in schedules("show", "nobody").refusal
