"""Messages of alerts on their way: sent once, tried again, given up aloud; and the secret stays one."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from schedules import alert_queue, alert_sender
from schedules.alert_queue import claim_message, list_troubles, record_attempt, send_due, try_again
from schedules.alert_sender import AlertNotSentError, AlertUrlError, Level, check_url, mask_url, send_alert
from schedules.models import AlertChannel, AlertMessage
from schedules.vitals import read_vitals
from tests.integration.alert_service import SECRET, AlertService, alert_service, at
from tests.integration.mail_server import mail_server
from tests.redis_server import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(at(6), tick=False) as clock:
        yield clock


@pytest.fixture
def service(clock) -> Iterator[AlertService]:
    with alert_service() as service:
        service.channel()
        yield service


def write(title: str = "Start failed: Sales", *, channel: str = "BI team", **values: object) -> AlertMessage:
    """Put a message into the queue."""
    row = AlertChannel.objects.filter(name=channel).first()
    now = timezone.now()
    given = {
        "channel_key": f"db:{row.pk}" if row else "db:0",
        "channel_name": channel,
        "event": "start-failed",
        "title": title,
        "body": "It did not start.",
        "created_at": now,
        "next_try_at": now,
    }
    return AlertMessage.objects.create(**(given | values))


def test_messages_are_sent_in_order_and_once(service):
    for number in range(3):
        write(f"Message {number}")

    assert send_due() == 3
    assert send_due() == 0

    assert service.titles == ["Message 0", "Message 1", "Message 2"]
    message = AlertMessage.objects.first()
    assert (message.state, message.attempts, message.sent_at, message.error) == ("sent", 1, at(6), "")


def test_what_fails_is_tried_again_with_growing_pauses(service, clock, caplog):
    service.status = 500
    message = write()

    waits = []
    for _ in range(8):
        send_due()
        message.refresh_from_db()
        waits.append(round((message.next_try_at - timezone.now()) / timedelta(minutes=1)))
        clock.move_to(message.next_try_at)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (message.state, message.attempts) == ("pending", 8)
    assert message.error.startswith("JSON did not take the message: Failed to send JSON POST notification:")
    assert "tried again at 06:01:00 UTC" in caplog.text
    service.status = 200
    assert send_due() == 1
    assert not list_troubles(now=timezone.now())


def test_after_a_failure_the_other_messages_of_the_channel_wait_for_the_next_pass(service):
    service.status = 500
    write("First")
    write("Second")

    send_due()
    assert service.titles == ["First"]
    send_due()
    assert service.titles == ["First", "Second"]


def test_after_a_day_a_message_is_given_up_and_told_as_a_problem(service, clock):
    service.status = 503
    message = write()
    clock.shift(timedelta(days=1))

    send_due()
    message.refresh_from_db()

    assert (message.state, message.next_try_at) == ("failed", None)
    (trouble,) = list_troubles(now=timezone.now())
    assert (trouble.channel, trouble.messages, trouble.since_at) == ("BI team", 1, at(6))
    (problem,) = (told for told in read_vitals().problems if "BI team" in told)
    assert problem.startswith("An alert for 'BI team' could not be sent since 2026-11-24 06:00 UTC: JSON did not take")
    assert problem.endswith("Correct the channel, and try it: `manage.py schedules alerts --test 'BI team'`.")
    clock.shift(timedelta(days=1, seconds=1))
    assert list_troubles(now=timezone.now()) == []


def test_a_channel_that_takes_messages_again_is_no_problem(service, clock):
    service.status = 500
    write()
    send_due()
    assert len(list_troubles(now=timezone.now())) == 1

    service.status = 200
    clock.shift(10)
    write("Later")
    send_due()

    assert list_troubles(now=timezone.now()) == []


def test_a_message_that_was_given_up_can_be_sent_again(service, clock):
    message = write(state="failed", attempts=30, failed_at=timezone.now(), next_try_at=None, error="500")
    clock.shift(timedelta(days=3))

    assert try_again(AlertMessage.objects.all(), now=timezone.now()) == 1
    assert send_due() == 1

    message.refresh_from_db()
    assert (message.state, message.error) == ("sent", "")
    assert try_again(AlertMessage.objects.all(), now=timezone.now()) == 0


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_the_messages_of_a_channel_that_is_gone_are_given_up(service, change):
    message = write()
    if change == "disable":
        AlertChannel.objects.update(is_enabled=False)
    else:
        AlertChannel.objects.all().delete()

    assert send_due() == 0
    message.refresh_from_db()

    assert message.state == "failed"
    assert message.error.startswith("The channel was deleted, disabled")
    assert service.received == []
    assert list_troubles(now=timezone.now()) == []


def test_two_workers_do_not_send_one_message_twice(service):
    message, same = write(), AlertMessage.objects.get()

    assert claim_message(message, now=timezone.now())
    assert not claim_message(same, now=timezone.now())
    assert send_due() == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_message_once(service):
    for number in range(10):
        write(f"Message {number}")
    begin, claimed = threading.Barrier(4), []

    def work() -> None:
        begin.wait()
        messages = AlertMessage.objects.order_by("pk")
        claimed.extend(message.title for message in messages if claim_message(message, now=timezone.now()))
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(claimed) == [f"Message {number}" for number in range(10)]
    assert set(AlertMessage.objects.values_list("attempts", flat=True)) == {1}


def test_the_claim_of_a_killed_worker_is_taken_up_again(service, clock):
    lost = write()
    claim_message(lost, now=timezone.now())
    clock.shift(59)
    assert send_due() == 0

    clock.shift(2)
    assert send_due() == 1
    # What the first worker says when it wakes up does not count
    record_attempt(lost, problem="It took too long.")

    message = AlertMessage.objects.get()
    assert (message.state, message.attempts) == ("sent", 2)


def test_a_channel_that_fails_does_not_hold_up_the_others(service):
    broken = service.channel("Broken", url=f"json://127.0.0.1:{free_port()}/{SECRET}")
    write("For nobody", channel=broken.name)
    write("For somebody")
    write("For somebody, too")

    assert send_due() == 2
    assert service.titles == ["For somebody", "For somebody, too"]


def test_a_mistake_of_the_library_does_not_hold_up_the_others(service, monkeypatch):
    send = alert_queue.send_alert

    def fail_once(url, *, title, **values):
        if title == "Bad":
            raise RuntimeError(url)
        send(url, title=title, **values)

    monkeypatch.setattr(alert_queue, "send_alert", fail_once)
    service.channel("Other")
    bad = write("Bad")
    write("Good", channel="Other")

    assert send_due() == 1
    bad.refresh_from_db()
    assert bad.error == "The library apprise failed in a way that is not known: RuntimeError."


def test_no_message_is_begun_after_the_time_of_a_pass(service, monkeypatch):
    monkeypatch.setattr(alert_queue, "PASS_SECONDS", 0)
    write()

    assert send_due() == 0
    assert AlertMessage.objects.get().state == "pending"


def test_a_service_that_drips_is_left_after_the_limit():
    with alert_service() as service:
        service.drips_seconds = 60
        with pytest.raises(AlertNotSentError, match=r"JSON did not take the message: .+"):
            send_alert(service.url, title="T", body="B", level=Level.INFO, limit=timedelta(seconds=0.5))


def test_a_mail_is_plain_text_with_the_lines_of_the_message():
    body = "It did not start: a < b & c.\nDue: 06:00\n\nWhat to do: nothing."
    with mail_server() as server:
        url = f"mailto://127.0.0.1:{server.port}?from=butler@example.com&to=bi@example.com&mode=insecure"
        send_alert(url, title="Start failed: Årsbok", body=body, level=Level.FAILURE)

    (mail,) = server.received
    assert (mail["Subject"], mail["To"], mail.get_content_type()) == (
        "Start failed: Årsbok",
        "bi@example.com",
        "text/plain",
    )
    assert mail.get_content().strip().replace("\r\n", "\n") == body


def test_nobody_listens():
    with pytest.raises(AlertNotSentError, match="A Connection error occurred sending JSON notification to"):
        send_alert(f"json://127.0.0.1:{free_port()}/x", title="T", body="B", level=Level.INFO)


@pytest.mark.parametrize(
    "url",
    [
        "json://user:S3cretPassw0rd@127.0.0.1:{port}/S3cretPath?+Auth=S3cretHeader",
        "form://127.0.0.1:{port}/S3cretPath/",
        "xml://S3cretUser@127.0.0.1:{port}/",
        "mailto://S3cretUser:S3cretPassw0rd@127.0.0.1:{port}?to=S3cretName@example.com&from=S3cretFrom@example.com",
    ],
)
def test_what_is_said_of_a_failure_has_nothing_of_the_secret(url, caplog):
    caplog.set_level(logging.INFO)
    url = url.format(port=free_port())

    with pytest.raises(AlertNotSentError) as caught:
        send_alert(url, title="T", body="B", level=Level.INFO)

    assert "S3cret" not in str(caught.value)
    assert "s3cret" not in str(caught.value).lower()
    assert "S3cret" not in caplog.text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "begins with the name of a service and ://"),
        ("", "begins with the name of a service and ://"),
        ("nosuchservice://S3cret", "apprise does not know nosuchservice://"),
        ("json://", "begins with the name"),
        ("slack://S3cretToken", "apprise cannot use this slack:// URL: An invalid Slack"),
        ("mailto://user:S3cretPassw0rd@", "apprise"),
        ("https://example.com/S3cret", "apprise does not know https://"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_repeating_it(url, said):
    with pytest.raises(AlertUrlError) as caught:
        check_url(url)

    assert said in str(caught.value)
    assert "S3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "mailtos://butler:secret@example.com?to=bi@example.com",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "workflows://prod-01.westeurope.logic.azure.com:443/643e69f83c8944438d68119179a10a64/iuE_-SNjSFGMv1BG",
        "jsons://example.com/hook",
    ],
)
def test_what_the_documents_propose_is_possible(url):
    check_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [("mailto://u:p@h", "mailto://***"), ("slack://TokenA/B", "slack://***"), ("secret", "***"), ("://x", "***")],
)
def test_of_a_url_the_scheme_is_shown(url, shown):
    assert mask_url(url) == shown


def test_apprise_is_loaded_when_something_is_sent_and_not_before():
    """Beat and the web server start without it."""
    program = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import butler.celery, butler.urls, schedules.beat, schedules.tasks, schedules.alert_tasks;"
        "butler.celery.app.loader.import_default_modules();"
        "assert 'schedules.watch' in butler.celery.app.tasks;"
        "print('apprise' in sys.modules);"
        "schedules.alert_tasks.alert_queue.send_alert.__globals__['check_url']('json://127.0.0.1/x');"
        "print('apprise' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.split() == ["False", "True"]


def test_one_of_the_time_limits_holds_for_the_other():
    """A worker whose claim is taken up again has given up before."""
    assert alert_sender.SEND_LIMIT * 2 < alert_queue.CLAIM_LIMIT
    assert timedelta(seconds=alert_queue.PASS_SECONDS) + alert_sender.SEND_LIMIT < alert_queue.CLAIM_LIMIT
