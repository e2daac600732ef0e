"""The list of schedules in the admin: what it shows, finds and filters, and what it costs."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from schedules import services
from schedules.models import Run, Schedule
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/schedule/"


def add_run(schedule, *, minutes_ago: int, state: str = Run.State.STARTED) -> Run:
    due_at = timezone.now() - timedelta(minutes=minutes_ago)
    return Run.objects.create(
        schedule=schedule,
        schedule_name=schedule.name,
        qlik_task_id=schedule.qlik_task_id,
        due_at=due_at,
        planned_at=due_at,
        reason=Run.Reason.SCHEDULED,
        state=state,
    )


def listed_titles(client, query: str = "") -> list[str]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200, response.url
    return [schedule.title for schedule in response.context["cl"].result_list]


def test_a_row_says_what_runs_when_and_how_it_went(admin_client, make_schedule):
    schedule = make_schedule(title="Morning load", cron_schedule="0 6 * * 1-5", tags=["Sales", "abc 123 åäö"])
    run = add_run(schedule, minutes_ago=3, state=Run.State.REFUSED)

    page = admin_client.get(LIST).content.decode()

    for text in (
        "Morning load",
        "abc 123 åäö",
        schedule.expression.describe(),
        "0 6 * * 1-5",
        "Europe/Stockholm",
        schedule.qlik_task_id,
        "refused",
        "3 min ago",
        reverse("admin:schedules_run_change", args=[run.pk]),
    ):
        assert text in page


@time_machine.travel("2026-10-24 12:00:00+00:00", tick=False)
def test_the_next_start_is_told_by_the_clock_of_the_schedule(admin_client, make_schedule):
    make_schedule(cron_schedule="30 6 * * 0", timezone="Europe/Stockholm")

    page = admin_client.get(LIST).content.decode()

    assert "Sun 25 Oct, 06:30 CET" in page, "the clock is set back in the night before"
    assert "2026-10-25 05:30:00.000 UTC" in page
    assert "in 17 h" in page


def test_a_stopped_schedule_has_no_next_start(admin_client, make_schedule):
    make_schedule(startup_state="stopped")

    page = admin_client.get(LIST).content.decode()

    assert "stopped" in page
    assert "CET" not in page
    assert "CEST" not in page


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"cron_schedule": "0 25 * * *"}, "hour"),
        ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis"),
        ({"timezone": "../etc"}, "../etc"),
        ({"tags": {"not": "a list"}}, "is not a list of texts"),
        ({"tags": [1]}, "is not a list of texts"),
        ({"misfire": "bad"}, "is not a valid choice"),
        ({"title": ""}, "cannot be blank"),
    ],
)
def test_a_row_broken_by_hand_is_shown_as_broken_with_the_reason(admin_client, make_schedule, values, reason):
    broken, sound = make_schedule(), make_schedule(title="A sound one")
    Schedule.objects.filter(pk=broken.pk).update(**values)

    page = admin_client.get(LIST).content.decode()

    assert "broken" in page
    assert reason in page
    assert sound.title in page
    assert admin_client.get(f"{LIST}{broken.pk}/change/").status_code == 200


@pytest.mark.parametrize("schedules", [3, 50])
def test_the_list_costs_the_same_few_queries_however_long_it_is(
    admin_client, make_schedule, django_assert_num_queries, schedules
):
    for number in range(schedules):
        schedule = make_schedule(title=f"Schedule {number}", tags=["Sales"])
        add_run(schedule, minutes_ago=1)

    # Session, person, tags, two counts, the rows, Qlik tasks and their age, time zones, maintenance
    with django_assert_num_queries(10):
        assert len(listed_titles(admin_client)) == schedules


def test_the_last_run_is_the_one_due_last(admin_client, make_schedule):
    schedule = make_schedule()
    add_run(schedule, minutes_ago=1)
    add_run(schedule, minutes_ago=5, state=Run.State.REFUSED)
    add_run(make_schedule(title="Another"), minutes_ago=0, state=Run.State.UNKNOWN)

    (row,) = [row for row in admin_client.get(LIST).context["cl"].result_list if row.pk == schedule.pk]

    assert row.last_run_state == Run.State.STARTED


def test_people_find_schedules_by_name_id_and_task(admin_client, make_schedule):
    task_id = str(uuid.uuid4())
    found = make_schedule(title="Sales dashboard", qlik_task_id=task_id)
    make_schedule(title="Finance")

    for term in ("dashb", found.name, task_id):
        assert listed_titles(admin_client, f"q={term}") == ["Sales dashboard"]


def test_people_filter_by_state_zone_and_tag(admin_client, make_schedule):
    make_schedule(title="Tokyo", timezone="Asia/Tokyo", tags=["Sales", 'say "åäö"'])
    make_schedule(title="Stopped", startup_state="stopped", tags=["Sales figures"])

    assert listed_titles(admin_client, "state=started") == ["Tokyo"]
    assert listed_titles(admin_client, "state=stopped") == ["Stopped"]
    assert listed_titles(admin_client, "timezone=Asia/Tokyo") == ["Tokyo"]
    assert listed_titles(admin_client, "tag=Sales") == ["Tokyo"]
    assert listed_titles(admin_client, 'tag=say "åäö"') == ["Tokyo"]
    assert listed_titles(admin_client, "tag=Nobody") == []


def test_schedules_are_in_the_order_of_their_names_or_of_a_column(admin_client, make_schedule):
    for title, minutes_ago in (("B", 1), ("A", 2), ("C", 3)):
        add_run(make_schedule(title=title), minutes_ago=minutes_ago)
    last_run_column = 1 + ["listed_title", "state", "times", "next_start", "last_run"].index("last_run")

    assert listed_titles(admin_client) == ["A", "B", "C"]
    assert listed_titles(admin_client, f"o={last_run_column}") == ["C", "A", "B"]


def test_an_empty_list_says_what_to_do(admin_client, make_schedule):
    page = admin_client.get(LIST).content.decode()
    assert "No schedules yet" in page
    assert "Add schedule" in page

    make_schedule()
    page = admin_client.get(f"{LIST}?q=nothing+like+it").content.decode()
    assert "Nothing matches" in page
    assert "Show all schedules" in page


def test_a_text_with_html_in_it_is_shown_as_text(admin_client, make_schedule):
    schedule = make_schedule(title="<script>alert(1)</script>", tags=["<b>bold</b>"])
    services.stop_schedules([schedule.name], origin=ORIGIN)

    form = f"{LIST}{schedule.pk}"
    for path in (LIST, f"{form}/change/", f"{form}/delete/", "/admin/schedules/schedulechange/"):
        page = admin_client.get(path).content.decode()
        assert "<script>alert(1)" not in page
        assert "<b>bold" not in page
