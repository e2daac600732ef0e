"""Alerts in the admin: channels with a secret that is never shown, a test, and histories to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules.alert_tasks import watch
from schedules.models import AlertChannel, AlertCondition, AlertMessage
from tests.integration.alert_service import SECRET, AlertService, alert_service, at, close_run
from tests.integration.test_admin_schedule_buttons import told

pytestmark = pytest.mark.django_db

CHANNELS = "/admin/schedules/alertchannel/"
MESSAGES = "/admin/schedules/alertmessage/"
CONDITIONS = "/admin/schedules/alertcondition/"
FORM = {"name": "BI team", "is_enabled": "on", "quiet_time": "01:00:00", "tells_recovery": "on", "tags": "", "url": ""}


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(at(6), tick=False) as clock:
        yield clock


@pytest.fixture
def service() -> Iterator[AlertService]:
    with alert_service() as service:
        yield service


def log_in(*codenames: str) -> Client:
    user = User.objects.create_user("-".join(codenames), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def errors_of(response) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)


def test_a_channel_is_added_edited_and_keeps_its_secret(admin_client, service, make_schedule):
    schedule = make_schedule()
    values = {"url": service.url, "events": ["late", "missed"], "tags": "Sales\nStock", "schedules": [schedule.pk]}
    response = admin_client.post(f"{CHANNELS}add/", FORM | values)
    channel = AlertChannel.objects.get()

    assert response.status_code == 302
    assert (channel.url, channel.events, channel.tags) == (service.url, ["late", "missed"], ["Sales", "Stock"])
    assert list(channel.schedules.all()) == [schedule]
    page = admin_client.get(f"{CHANNELS}{channel.pk}/change/").content.decode()
    assert SECRET not in page
    assert "Now json://***. Leave it empty to keep it." in page

    admin_client.post(f"{CHANNELS}{channel.pk}/change/", FORM | {"name": "Renamed", "quiet_time": "00:30:00"})
    channel.refresh_from_db()
    assert (channel.name, channel.url, channel.events) == ("Renamed", service.url, [])
    assert channel.quiet_time == timedelta(minutes=30)
    for page in (CHANNELS, f"{CHANNELS}{channel.pk}/history/", f"{CHANNELS}{channel.pk}/delete/"):
        assert SECRET not in admin_client.get(page).content.decode()


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"url": f"nosuch://{SECRET}"}, "url", "apprise does not know nosuch://"),
        ({"url": ""}, "url", "This field is required."),
        ({"title_template": "{schedul}"}, "title_template", "{schedul} is no placeholder. Possible are {title},"),
        ({"body_template": "{text"}, "body_template", "A brace has no counterpart"),
        ({"quiet_time": "00:00:10"}, "quiet_time", "0:00:10 cannot be the quiet time. Use 1 minute to 7 days."),
        ({"events": ["nothing"]}, "events", "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(admin_client, values, field, said):
    response = admin_client.post(f"{CHANNELS}add/", FORM | {"url": "json://127.0.0.1/x"} | values)

    assert response.status_code == 200
    assert list(errors_of(response)) == [field]
    assert said in " ".join(errors_of(response)[field])
    assert SECRET not in response.content.decode()


def test_a_name_is_given_once(admin_client, service):
    service.channel()

    response = admin_client.post(f"{CHANNELS}add/", FORM | {"url": service.url})

    assert "already exists" in " ".join(errors_of(response)["name"])


def test_the_button_sends_a_test_and_says_what_the_service_answered(admin_client, service):
    channel = service.channel()
    assert "Send a test" in admin_client.get(f"{CHANNELS}{channel.pk}/change/").content.decode()

    response = admin_client.post(f"{CHANNELS}{channel.pk}/test/")
    assert told(response).startswith("The test was sent: the service took it after 0.")
    assert response.url == f"{CHANNELS}{channel.pk}/change/"
    assert service.titles == ["Butler: this is a test"]
    assert "“BI team”" in service.received[0]["message"]

    service.status = 403
    response = admin_client.post(f"{CHANNELS}{channel.pk}/test/")
    assert told(response).startswith("The test was not sent. JSON did not take the message: Failed to send")
    assert "403" in told(response)
    assert not AlertMessage.objects.exists()


def test_a_test_is_for_those_who_may_change_the_channel(service):
    channel = service.channel()
    viewer = log_in("view_alertchannel")

    assert "Send a test" not in viewer.get(f"{CHANNELS}{channel.pk}/change/").content.decode()
    assert viewer.post(f"{CHANNELS}{channel.pk}/test/").status_code == 403
    assert log_in("change_alertchannel").get(f"{CHANNELS}{channel.pk}/test/").status_code == 405
    assert log_in("change_alertchannel", "view_run").post(f"{CHANNELS}999/test/").status_code == 302
    page = viewer.get(f"{CHANNELS}{channel.pk}/change/").content.decode()
    assert "json://***" in page
    assert SECRET not in page
    assert service.received == []


def test_the_list_says_what_each_channel_is_for_and_whether_it_works(admin_client, service, make_schedule):
    failing = service.channel("Failing", events=["late"], tags=["Sales"])
    service.channel("Off", is_enabled=False)
    chosen = service.channel("Chosen")
    chosen.schedules.set([make_schedule(), make_schedule()])
    given = {"channel_name": "Failing", "event": "late", "title": "T", "created_at": timezone.now()}
    AlertMessage.objects.create(channel_key=f"db:{failing.pk}", failed_at=timezone.now(), error="No route.", **given)

    page = admin_client.get(CHANNELS).content.decode()

    for text in (
        "json://***",
        "failing",
        "disabled",
        "enabled",
        "tag Sales",
        "2 schedules",
        "waits",
        "No route.",
        "now",
    ):
        assert text in page
    assert SECRET not in page


def test_lists_take_as_many_queries_for_many_rows_as_for_one(admin_client, service, make_schedule):
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(path)
        return len(queries)

    def add(number: int) -> None:
        for _ in range(number):
            service.channel(f"Channel {AlertChannel.objects.count()}")
            close_run(make_schedule(), "failed")
        watch()

    watch()
    service.channel("First")
    watch()
    add(1)
    before = [count(path) for path in (CHANNELS, MESSAGES, CONDITIONS)]
    add(10)

    assert [count(path) for path in (CHANNELS, MESSAGES, CONDITIONS)] == before


def test_what_was_told_and_what_is_the_matter_can_be_read(admin_client, service, make_schedule, clock):
    service.channel()
    watch()
    schedule = make_schedule(title="Morning load")
    run = close_run(schedule, "refused", message="404: unknown.", due_at=at(5, 59))
    close_run(None, "refused", reason="api")
    watch()
    message, condition = AlertMessage.objects.get(), AlertCondition.objects.get(schedule_pk=schedule.pk)

    page = admin_client.get(MESSAGES).content.decode()
    assert "Start failed: 2 schedules" in page
    page = admin_client.get(f"{MESSAGES}{message.pk}/change/").content.decode()
    assert "- Morning load, due Tue 24 Nov 2026, 06:59 CET (05:59 UTC): Qlik Sense refused" in page
    page = admin_client.get(f"{CONDITIONS}?q=morning&state=open").content.decode()
    assert f'href="/admin/schedules/schedule/{schedule.pk}/change/"' in page
    assert "404: unknown." in page
    page = admin_client.get(f"{CONDITIONS}{condition.pk}/change/").content.decode()
    assert str(run.pk) in page
    assert f'href="/admin/schedules/run/?of={schedule.pk}"' in page

    clock.shift(timedelta(minutes=5))
    close_run(schedule, "succeeded")
    watch()
    page = admin_client.get(f"{CONDITIONS}?state=ended").content.decode()
    assert "well again after 5 minutes" in page
    assert "A start failed: well again" in admin_client.get(MESSAGES).content.decode()


def test_nobody_edits_the_histories(admin_client, service):
    for path in (MESSAGES, CONDITIONS):
        assert admin_client.get(f"{path}add/").status_code == 403


def test_a_message_that_was_given_up_is_sent_again_by_those_who_may(admin_client, service):
    channel = service.channel()
    given = {"channel_name": "BI team", "event": "late", "created_at": timezone.now() - timedelta(days=2)}
    values = given | {
        "channel_key": f"db:{channel.pk}",
        "state": "failed",
        "error": "500",
        "title": "Late: Sales",
        "body": "B",
    }
    message = AlertMessage.objects.create(**values)
    action = {"action": "send_again", "_selected_action": [message.pk]}

    log_in("view_alertmessage").post(MESSAGES, action)
    assert AlertMessage.objects.get().state == "failed"
    response = log_in("change_alertmessage").post(MESSAGES, action)

    assert told(response) == "1 message is sent within seconds."
    watch()
    assert service.titles == ["Late: Sales"]
    assert told(admin_client.post(MESSAGES, action)) == "All of these were sent already."
