"""Pauses and maintenance in the admin: by whom, how, and how everyone sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client

from schedules import services
from schedules.admin import operations
from schedules.maintenance import begin_maintenance
from schedules.models import Maintenance, Run, Schedule, ScheduleChange
from tests.conftest import ORIGIN
from tests.integration.test_admin_schedule_buttons import LIST, button, select, told

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNTIL = {"until_0": "2026-11-24", "until_1": "12:00:00", "reason": "New disks", "pause": ""}
MAINTENANCE = "/admin/schedules/maintenance/"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def log_in(*codenames: str) -> Client:
    user = User.objects.create_user("-".join(codenames), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def begin(*, until: datetime | None = None) -> Maintenance:
    return begin_maintenance(until=until, reason="New disks", origin=ORIGIN)


def test_one_schedule_is_paused_by_its_page_and_resumed_by_a_button(admin_client, make_schedule):
    schedule = make_schedule(title="Morning load")
    page = admin_client.get(f"{LIST}{schedule.pk}/change/").content.decode()
    assert f'href="{button(schedule, "pause")}"' in page
    assert button(schedule, "resume") not in page

    assert "Morning load" in admin_client.get(button(schedule, "pause")).content.decode()
    response = admin_client.post(button(schedule, "pause"), UNTIL)
    assert told(response) == "1 schedule paused."
    assert response.url == f"{LIST}{schedule.pk}/change/"
    schedule.refresh_from_db()
    assert (schedule.paused_until, schedule.pause_reason, schedule.enabled) == (NOON, "New disks", True)

    page = admin_client.get(f"{LIST}{schedule.pk}/change/").content.decode()
    assert "paused until Tue 24 Nov, 13:00 CET" in page
    assert "(New disks)" in page
    assert f'href="{button(schedule, "pause")}"' not in page
    response = admin_client.post(button(schedule, "resume"))
    assert told(response) == "1 schedule resumed."
    assert Schedule.objects.get().paused_until is None
    changes = ScheduleChange.objects.order_by("pk").values_list("action", "source", "actor")
    assert list(changes)[1:] == [("pause", "admin", "admin"), ("resume", "admin", "admin")]


def test_many_are_paused_by_an_action_that_asks_first(admin_client, make_schedule):
    first, second, third = (make_schedule(title=title) for title in ("First", "Second", "Third"))

    page = select(admin_client, "pause_selected", first, second).content.decode()
    assert "First" in page
    assert "Third" not in page
    assert page.count('name="_selected_action"') == 2
    assert 'name="action" value="pause_selected"' in page
    assert not Schedule.objects.exclude(paused_until=None).exists()

    assert told(select(admin_client, "pause_selected", first, second, **UNTIL)) == "2 schedules paused."
    assert set(Schedule.objects.filter(paused_until=NOON)) == {first, second}

    response = select(admin_client, "resume_selected", first, third)
    assert told(response) == "1 schedule resumed. 1 schedule was not paused."


def test_a_long_selection_is_named_in_part_and_paused_as_a_whole(admin_client, make_schedule):
    schedules = [make_schedule(title=f"Schedule {number:02}") for number in range(23)]

    page = select(admin_client, "pause_selected", *schedules).content.decode()

    assert "and 3 more" in page
    assert told(select(admin_client, "pause_selected", *schedules, **UNTIL)) == "23 schedules paused."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"until_1": "09:59:59"}, "2026-11-24 09:59:59 UTC has passed, it is 2026-11-24 10:00:00 UTC now."),
        ({"until_0": "tomorrow"}, "Enter a valid date."),
        ({"until_0": "", "until_1": ""}, "This field is required."),
        ({"reason": "x" * 201}, "at most 200 characters"),
        ({"reason": "a\u2028b"}, "printable characters on one line"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_keeps_the_selection(admin_client, make_schedule, values, said):
    schedule = make_schedule()

    page = select(admin_client, "pause_selected", schedule, **UNTIL | values).content.decode()

    assert said in page
    assert f'name="_selected_action" value="{schedule.pk}"' in page
    assert said in admin_client.post(button(schedule, "pause"), UNTIL | values).content.decode()
    assert Schedule.objects.get().paused_until is None


def test_a_schedule_that_is_gone_is_told_of(admin_client):
    assert "Perhaps it was deleted" in told(admin_client.post(f"{LIST}4711/pause/", UNTIL))


def test_a_moment_that_passes_while_it_is_sent_is_told(admin_client, make_schedule, monkeypatch, clock):
    def pause_too_late(*args, **kwargs):
        clock.move_to(NOON)
        return services.pause_schedules(*args, **kwargs)

    late = operations.Operation(pause_too_late, "paused")
    monkeypatch.setattr("schedules.admin.schedules.PAUSE", late)

    response = admin_client.post(button(make_schedule(), "pause"), UNTIL)

    assert told(response).startswith("Nothing was done. 2026-11-24 12:00:00 UTC has passed")


def test_the_list_says_until_when_and_costs_no_query_more(admin_client, make_schedule, django_assert_num_queries):
    for title in ("First", "Second"):
        make_schedule(title=title)
    services.pause_schedules(None, until=NOON, reason="<b>disks</b>", origin=ORIGIN)

    # Those of the list, one of them for the tasks that are known and one for when they were read
    with django_assert_num_queries(10):
        page = admin_client.get(LIST).content.decode()

    assert page.count("paused until Tue 24 Nov, 13:00 CET") == 2
    assert "(&lt;b&gt;disks&lt;/b&gt;)" in page
    assert "Tue 24 Nov, 13:01 CET" in page, "the next start is the one after the pause"


def test_a_pause_to_the_end_of_the_calendar_leaves_list_and_page_to_be_seen(admin_client, make_schedule):
    schedule = make_schedule(timezone="Asia/Tokyo")
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    services.pause_schedules([schedule.name], until=last, reason="", origin=ORIGIN)
    for address in (LIST, f"{LIST}{schedule.pk}/change/"):
        assert "paused until Fri 31 Dec 9999, 23:59:59 UTC" in admin_client.get(address).content.decode()


def test_paused_schedules_can_be_filtered(admin_client, make_schedule, clock):
    paused, other = make_schedule(title="Paused one"), make_schedule(title="Other one")
    services.pause_schedules([paused.name], until=NOON, reason="", origin=ORIGIN)

    page = admin_client.get(f"{LIST}?state=paused").content.decode()
    assert "Paused one" in page
    assert other.title not in page
    clock.move_to(NOON + timedelta(seconds=1))
    assert "Paused one" not in admin_client.get(f"{LIST}?state=paused").content.decode()


def test_who_may_only_look_pauses_nothing(make_schedule):
    schedule = make_schedule()
    client = log_in("view_schedule")

    assert button(schedule, "pause") not in client.get(f"{LIST}{schedule.pk}/change/").content.decode()
    assert client.get(button(schedule, "pause")).status_code == 403
    assert client.post(button(schedule, "pause"), UNTIL).status_code == 403
    assert client.post(button(schedule, "resume")).status_code == 403
    select(client, "pause_selected", schedule, **UNTIL)
    assert Schedule.objects.get().paused_until is None


def test_a_maintenance_is_begun_shown_on_every_page_and_ended(admin_client, make_schedule):
    schedule = make_schedule()
    pages = ["/admin/", LIST, f"{LIST}{schedule.pk}/change/", f"{LIST}add/", MAINTENANCE, "/admin/auth/user/"]
    for page in pages:
        assert "nothing is started" not in admin_client.get(page).content.decode()

    response = admin_client.post(
        f"{MAINTENANCE}add/", {"ended_at_0": "2026-11-24", "ended_at_1": "12:00:00", "reason": "New disks"}
    )
    assert told(response) == "The maintenance has begun; nothing is started until it ends."
    begun = Maintenance.objects.get()
    assert (begun.began_at, begun.ended_at, begun.reason, begun.actor) == (NOW, NOON, "New disks", "admin")
    for page in [*pages, f"{MAINTENANCE}{begun.pk}/change/"]:
        text = " ".join(admin_client.get(page).content.decode().split())
        assert "Maintenance: nothing is started.</strong> New disks." in text
        assert "Since 24 Nov, 10:00 UTC, until 24 Nov, 12:00 UTC." in text
        assert f'action="{MAINTENANCE}end/"' in text

    response = admin_client.post(f"{MAINTENANCE}end/")
    assert told(response) == "The maintenance has ended; schedules go on."
    assert Maintenance.current_at(NOW) is None
    assert told(admin_client.post(f"{MAINTENANCE}end/")) == "The site was not in maintenance."
    changes = ScheduleChange.objects.filter(action="maintenance").values_list("source", "actor")
    assert list(changes) == [("admin", "admin")] * 2


def test_a_maintenance_needs_neither_end_nor_reason(admin_client):
    admin_client.post(f"{MAINTENANCE}add/", {"ended_at_0": "", "ended_at_1": "", "reason": ""})

    assert Maintenance.current_at(NOW + timedelta(days=300)) is not None
    assert "until somebody ends it" in admin_client.get(MAINTENANCE).content.decode()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ended_at_0": "2020-01-01", "ended_at_1": "00:00:00"}, "2020-01-01 00:00:00 UTC has passed"),
        ({"reason": "a\u2028b"}, "printable characters on one line"),
    ],
)
def test_a_wrong_value_begins_nothing(admin_client, values, said):
    page = admin_client.post(f"{MAINTENANCE}add/", {"ended_at_0": "", "ended_at_1": "", "reason": ""} | values)

    assert said in page.content.decode()
    assert not Maintenance.objects.exists()


def test_a_second_maintenance_is_refused_with_the_reason(admin_client):
    begin()

    response = admin_client.post(f"{MAINTENANCE}add/", {"ended_at_0": "", "ended_at_1": "", "reason": "Again"})

    assert told(response).startswith("The site is in maintenance since 2026-11-24 10:00:00 UTC: New disks. End it")
    assert Maintenance.objects.count() == 1


def test_nothing_of_a_maintenance_is_edited_or_deleted(admin_client):
    begun = begin()

    assert admin_client.post(f"{MAINTENANCE}{begun.pk}/change/", {"reason": "Other"}).status_code == 403
    assert admin_client.post(f"{MAINTENANCE}{begun.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get(f"{MAINTENANCE}end/").status_code == 405


def test_run_now_is_refused_during_a_maintenance(admin_client, make_schedule):
    schedule = make_schedule()
    begin()

    assert told(admin_client.post(button(schedule, "run"))).startswith("Nothing was done. The site is in maintenance")
    assert told(select(admin_client, "run_selected", schedule)).startswith("Nothing was done. The site is in")
    assert not Run.objects.exists()


def test_each_right_is_a_permission_of_its_own():
    begun = begin()
    viewer, beginner, ender = (log_in(f"{right}_maintenance") for right in ("view", "add", "change"))

    assert viewer.get(f"{MAINTENANCE}{begun.pk}/change/").status_code == 200
    assert "End it" not in viewer.get("/admin/").content.decode()
    for someone in (viewer, beginner):
        assert someone.post(f"{MAINTENANCE}end/").status_code == 403
    for someone in (viewer, ender):
        assert someone.get(f"{MAINTENANCE}add/").status_code == 403
    assert "End it" in ender.get(MAINTENANCE).content.decode()
    ender.post(f"{MAINTENANCE}end/")
    assert Maintenance.current_at(NOW) is None
    beginner.post(f"{MAINTENANCE}add/", {"ended_at_0": "", "ended_at_1": "", "reason": ""})
    assert Maintenance.current_at(NOW) is not None


def test_whoever_is_not_logged_in_is_told_nothing(client):
    begin()

    assert "New disks" not in client.get("/admin/login/").content.decode()


def test_changes_of_the_site_and_of_pauses_are_told_in_words(admin_client, make_schedule):
    schedule = make_schedule()
    services.pause_schedules([schedule.name], until=NOON, reason="New disks", origin=ORIGIN)
    begin(until=NOON)

    page = admin_client.get("/admin/schedules/schedulechange/").content.decode()

    assert "the whole site" in page
    assert "ended at: <del>nothing</del> → <ins>2026-11-24 12:00:00+00:00</ins>" in page
    assert "paused until: <del>nothing</del> → <ins>2026-11-24 12:00:00+00:00</ins>" in page
    change = ScheduleChange.objects.get(action="maintenance")
    assert admin_client.get(f"/admin/schedules/schedulechange/{change.pk}/change/").status_code == 200
