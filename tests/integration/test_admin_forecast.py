"""The load to come, in the admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from schedules.models import Schedule

pytestmark = pytest.mark.django_db

PAGE = "/admin/schedules/schedule/forecast/"
DAY = {"from": "2026-11-25", "until": "2026-11-26"}


def test_it_draws_the_day_to_come(admin_client, make_schedule):
    make_schedule(title="Sales", cron_schedule="0 * * * *")

    page = admin_client.get(PAGE)

    text = page.content.decode()
    assert "24 starts by 1 started schedules" in text
    assert "each bar is the greatest of 15" in text
    assert text.count('class="chart-bar"') == len(page.context["columns"]) == 96
    assert "Sales" in text


def test_it_draws_the_time_that_was_asked_for(admin_client, make_schedule):
    make_schedule(cron_schedule="30 12 * * *", timezone="UTC")

    page = admin_client.get(PAGE, DAY | {"per": "hour"})

    heights = [column.height for column in page.context["columns"]]
    assert heights == [*["0.00"] * 12, "100.00", *["0.00"] * 11]
    assert page.context["columns"][12].words == "2026-11-25 12:00:00 UTC: 1"
    assert page.context["ticks"] == ["2026-11-25 00:00", "2026-11-25 12:00", "2026-11-26 00:00"]


def test_broken_schedules_are_named_and_none_at_all_is_no_error(admin_client, make_schedule):
    assert "0 starts by 0 started schedules" in admin_client.get(PAGE).content.decode()
    schedule = make_schedule()
    Schedule.objects.update(cron_schedule="nonsense")

    assert f"Left out, for they are broken: {schedule.name}" in admin_client.get(PAGE).content.decode()


def test_of_many_schedules_in_a_peak_some_are_named(admin_client, make_schedule):
    for _ in range(8):
        make_schedule()

    assert "Every minute and 2 more" in admin_client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"from": "soon"}, "from: &#x27;soon&#x27; is not a time"), (DAY | {"until": "2026-12-25"}, "at most 8 can be")],
)
def test_what_cannot_be_shown_is_told_on_the_page(admin_client, asked, told):
    page = admin_client.get(PAGE, asked).content.decode()

    assert told in page
    assert f'value="{asked["from"]}"' in page


def test_the_menu_leads_to_it_for_whoever_may_see_schedules(admin_client):
    assert f'href="{PAGE}"' in admin_client.get("/admin/").content.decode()
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client = Client()
    client.force_login(user)

    assert f'href="{PAGE}"' not in client.get("/admin/").content.decode()
    assert client.get(PAGE).status_code == 403
