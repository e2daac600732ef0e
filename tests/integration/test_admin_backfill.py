"""Running what was missed, in the admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client

from schedules import services
from schedules.models import Run, Schedule
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/schedule/"
PAGE = f"{LIST}backfill/"
TIMES = {"from_at": "2024-03-04 06:00", "until_at": "2024-03-04 06:04:00"}


def chosen(*schedules: Schedule) -> str:
    return ",".join(str(schedule.pk) for schedule in schedules)


def show(client: Client, *schedules: Schedule, **values: str):
    return client.post(PAGE, TIMES | {"chosen": chosen(*schedules)} | values)


def test_the_action_asks_for_the_time_and_proposes_the_last_hour(admin_client, make_schedule):
    schedules = [make_schedule(), make_schedule()]

    page = admin_client.post(
        LIST, {"action": "backfill_selected", "_selected_action": [schedule.pk for schedule in schedules]}
    )

    initial = page.context["form"].initial
    assert initial["until_at"] - initial["from_at"] == timedelta(hours=1)
    assert datetime.now(UTC) - initial["until_at"] < timedelta(minutes=1)
    text = page.content.decode()
    assert "Of 2 schedules" in text
    assert f'value="{chosen(*schedules)}"' in text
    assert f'value="{initial["until_at"]:%Y-%m-%d %H:%M:%S}"' in text
    assert not Run.objects.exists()


def test_it_shows_first_and_starts_when_told_so(admin_client, make_schedule):
    schedules = [make_schedule(title="Sales"), make_schedule(title="Seldom", cron_schedule="0 0 1 1 *")]
    services.run_now([schedules[0].name], origin=ORIGIN)
    Run.objects.update(due_at=datetime(2024, 3, 4, 6, 1, tzinfo=UTC), state="started")

    page = show(admin_client, *schedules)
    text = page.content.decode()
    assert "Sales" in text
    assert "4 missing, 1 started" in text
    assert "Start 4 runs now" in text
    assert Run.objects.count() == 1

    response = show(admin_client, *schedules, confirm=page.context["seal"])
    assert str(list(get_messages(response.wsgi_request))[-1]).startswith("4 runs planned")
    assert response.url == "/admin/schedules/run/?reason__exact=backfill"
    assert set(Run.objects.filter(reason="backfill").values_list("message", flat=True)) == {
        "Backfill, asked for by admin, admin."
    }

    text = show(admin_client, *schedules).content.decode()
    assert "Nothing would start." in text
    assert 'name="confirm"' not in text


def test_again_starts_what_has_run(admin_client, make_schedule):
    schedule = make_schedule()
    services.run_now([schedule.name], origin=ORIGIN)
    Run.objects.update(due_at=datetime(2024, 3, 4, 6, 1, tzinfo=UTC), state="started")

    page = show(admin_client, schedule, again="on")
    show(admin_client, schedule, again="on", confirm=page.context["seal"])

    assert Run.objects.filter(reason="backfill").count() == 5


@pytest.mark.parametrize("changed", [{"until_at": "2024-03-04 06:30"}, {"again": "on"}])
def test_what_was_not_shown_is_not_started(admin_client, make_schedule, changed):
    schedule = make_schedule()
    seal = show(admin_client, schedule).context["seal"]

    page = show(admin_client, schedule, confirm=seal, **changed)

    assert page.context["is_preview"]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"until_at": "2999-01-01 00:00"}, "in the future"),
        ({"until_at": "2024-03-03 00:00"}, "is before from"),
        ({"from_at": "yesterday"}, "This is not a time. Write it as 2026-03-29 06:00:00"),
        ({"from_at": "2026-03-29x06:00:00"}, "This is not a time. Write it as 2026-03-29 06:00:00"),
        ({"from_at": ""}, "This field is required"),
    ],
)
def test_a_time_that_cannot_be_is_told_on_the_page(admin_client, make_schedule, values, told):
    page = show(admin_client, make_schedule(), **values)

    assert told in page.content.decode()
    assert not page.context["is_preview"]


def test_a_schedule_that_is_gone_is_told(admin_client, make_schedule):
    schedule = make_schedule()
    services.delete_schedules([schedule.name], origin=ORIGIN)

    assert "A schedule was deleted in the meantime" in show(admin_client, schedule).content.decode()


def test_without_schedules_the_page_leads_to_the_list(admin_client):
    for response in (admin_client.get(PAGE), admin_client.post(PAGE)):
        assert response.url == LIST
        assert "Tick the schedules first" in str(list(get_messages(response.wsgi_request))[-1])


def test_whoever_may_only_look_gets_neither_action_nor_page(make_schedule):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_schedule"))
    client = Client()
    client.force_login(user)
    schedule = make_schedule()

    assert show(client, schedule).status_code == 403
    assert "backfill_selected" not in client.get(LIST).content.decode()
