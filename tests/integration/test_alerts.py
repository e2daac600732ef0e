"""Alerts from the ledger to the service that people read: told once, told when well again, never a flood."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules import alert_findings, alerts, claims, services
from schedules.alert_tasks import watch
from schedules.models import (
    AlertChannel,
    AlertCondition,
    AlertMessage,
    AlertSighting,
    AlertTelling,
    AlertWatch,
    QlikTask,
    QrsSite,
    Run,
)
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.alert_service import SECRET, AlertService, alert_service, at, close_run
from tests.integration.certificates import write_certificates

pytestmark = pytest.mark.django_db

MISFIRE = "Misfire: beat was not planning when it was due."


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(at(6), tick=False) as clock:
        yield clock


@pytest.fixture
def service(clock) -> Iterator[AlertService]:
    """A service with a channel that hears of everything; the first look has been made."""
    with alert_service() as service:
        service.channel()
        watch()
        yield service


@pytest.fixture
def pass_time(clock):
    """Return a function that lets time pass, with a look each ten seconds, or each `step`."""

    def let_pass(minutes: float, *, step: int = 10) -> None:
        for _ in range(max(round(minutes * 60 / step), 1)):
            clock.shift(step)
            watch()

    return let_pass


def test_a_start_that_was_refused_is_told_once_with_the_next_step(service, make_schedule, pass_time):
    schedule = make_schedule(title="Morning load")
    close_run(schedule, "refused", message="404: there is no task with this id.", due_at=at(5, 59))

    pass_time(10)

    (message,) = service.received
    assert message["title"] == "Start failed: Morning load"
    assert message["message"].splitlines() == [
        "Qlik Sense refused to start the task. 404: there is no task with this id.",
        f"Schedule: Morning load ({schedule.name})",
        f"Qlik task: {schedule.qlik_task_id}",
        "Due: Tue 24 Nov 2026, 06:59 CET (05:59 UTC)",
        "",
        f"What to do: {alert_findings.ADVICE['refused']}",
    ]
    assert message["type"] == "failure"
    assert AlertMessage.objects.get().state == "sent"


def test_it_is_told_again_after_the_quiet_time_and_when_it_is_well(service, make_schedule, clock, pass_time):
    schedule = make_schedule(title="Morning load")
    for _ in range(5):
        close_run(schedule, "failed", node="central", reload_duration=timedelta(seconds=95), reload_details="Field X.")
        pass_time(15, step=60)
    close_run(schedule, "succeeded")
    pass_time(10)

    assert service.titles == [
        "Reload failed: Morning load",
        "Reloads still fail: Morning load",
        "Reloads well again: Morning load",
    ]
    first, again, well = (message["message"].splitlines() for message in service.received)
    assert first[0] == "The reload failed on central after 1 minute. Field X."
    assert again[4] == "How often: 5 times since Tue 24 Nov 2026, 07:00 CET (06:00 UTC)"
    assert well[0] == "Well again after 1 hour 15 minutes; 5 reloads had failed."
    assert [message["type"] for message in service.received] == ["failure", "failure", "success"]
    assert AlertCondition.objects.get().is_settled


def test_without_recovery_messages_the_end_is_not_told_but_noted(service, make_schedule, pass_time):
    AlertChannel.objects.update(tells_recovery=False)
    schedule = make_schedule()
    close_run(schedule, "failed")
    pass_time(1)
    close_run(schedule, "succeeded")
    pass_time(5)

    assert service.titles == ["Reload failed: Every minute"]
    assert AlertCondition.objects.get().is_settled


def test_500_failures_within_a_minute_are_few_messages(service, make_schedule, clock, pass_time):
    for number in range(500):
        if number % 84 == 83:
            pass_time(1 / 6)
        close_run(make_schedule(title=f"Load {number:03}"), "unreachable", message="Nobody answers.")
    pass_time(5)
    pass_time(55, step=300)

    assert service.titles[:1] == ["Start failed: 83 schedules"]
    assert len(service.received) <= 3
    told = sum(int(title.split(": ")[1].split()[0]) for title in service.titles)
    assert told == 500 == AlertCondition.objects.count() == AlertTelling.objects.count()
    assert all(len(message["message"]) < 4000 for message in service.received)


def test_a_schedule_that_flaps_for_hours_is_no_flood(service, make_schedule, pass_time):
    schedule = make_schedule()
    for minute in range(60):
        close_run(schedule, "failed" if minute % 2 else "succeeded")
        pass_time(1, step=30)

    assert len(service.received) <= 2 * 10


def test_what_was_late_missed_or_slow_is_told_each_in_its_words(service, make_schedule, clock, pass_time):
    late, missed, slow = (make_schedule(title=title) for title in ("Late", "Missed", "Slow"))
    for minutes in range(5):
        close_run(slow, "succeeded", reload_duration=timedelta(minutes=2), due_at=at(5, minutes), closed_at=at(5, 20))
    close_run(late, "started", due_at=at(5, 55), called_at=at(5, 58, 5))
    close_run(missed, "skipped", message=MISFIRE, occurrences=69, due_at=at(4))
    close_run(slow, "succeeded", reload_duration=timedelta(minutes=7))

    pass_time(1)

    assert service.titles == ["Run missed: Missed", "Started late: Late", "Reload takes long: Slow"]
    missed_text, late_text, slow_text = (message["message"] for message in service.received)
    assert missed_text.startswith(
        f"The task was not started at its time. {MISFIRE} It stands for 69 times at which it was due.\n"
    )
    assert "How often: 69 times" in missed_text
    assert late_text.startswith("It was started 3 minutes after its time; up to 1 minute is normal.\n")
    assert slow_text.startswith("The reload took 7 minutes; usually it takes 2 minutes.\n")
    assert [message["type"] for message in service.received] == ["failure", "warning", "warning"]

    close_run(late, "started")
    close_run(missed, "started")
    close_run(slow, "succeeded", reload_duration=timedelta(minutes=2))
    pass_time(1)
    assert service.titles[3:] == ["Runs again: Missed", "On time again: Late", "Reload as fast as usual: Slow"]


def test_a_run_that_no_worker_takes_is_told_while_it_waits_and_counts_once(service, make_schedule, pass_time):
    schedule = make_schedule(title="Waits")
    run = close_run(schedule, "queued", due_at=at(5, 58), called_at=None, closed_at=None)
    pass_time(1)
    assert service.titles == ["Started late: Waits"]
    assert service.received[0]["message"].startswith("It has not been started yet, 2 minutes after its time;")

    Run.objects.filter(pk=run.pk).update(state="started", called_at=timezone.now(), closed_at=timezone.now())
    pass_time(5)

    assert len(service.received) == 1
    assert AlertCondition.objects.get().count == 1


def test_a_run_in_time_for_its_schedules_grace_is_not_late(service, make_schedule, pass_time):
    schedule = make_schedule(misfire_grace=timedelta(hours=1))
    close_run(schedule, "queued", due_at=at(5, 30), called_at=None, closed_at=None)
    close_run(schedule, "started", due_at=at(5, 20), called_at=at(6))

    pass_time(1)

    assert service.received == []


def test_a_reload_that_hangs_is_told_while_it_runs(service, make_schedule, pass_time):
    schedule = make_schedule(title="Hangs")
    for minutes in range(5):
        close_run(schedule, "succeeded", reload_duration=timedelta(minutes=2), due_at=at(4, minutes), closed_at=at(5))
    run = close_run(schedule, "started", closed_at=None, reload_started_at=at(5, 50))

    pass_time(2)

    assert service.titles == ["Reload takes long: Hangs"]
    said = "The reload has been running for 11 minutes; usually it takes 2 minutes."
    assert service.received[0]["message"].startswith(said)
    done = {"state": "succeeded", "closed_at": timezone.now(), "reload_duration": timedelta(minutes=13)}
    Run.objects.filter(pk=run.pk).update(**done)
    pass_time(2)
    assert len(service.received) == 1


def test_qrs_out_of_reach_is_one_message_and_what_it_cost_is_told_afterwards(service, make_schedule, clock, pass_time):
    site = QrsSite.objects.create(unreachable_since=at(6), wait_until=at(6), failures=5, last_error="No route.")
    schedules = [make_schedule(title=title) for title in ("First", "Second")]
    pass_time(0.5)
    assert service.received == []
    pass_time(1)
    for schedule in schedules:
        close_run(schedule, "unreachable")
    close_run(make_schedule(title="Third"), "queued", due_at=at(5, 50), called_at=None, closed_at=None)
    pass_time(30, step=60)

    (message,) = service.received
    assert message["title"] == "Qlik Sense is out of reach"
    assert message["message"].startswith(
        "No call has reached QRS since Tue 24 Nov 2026, 06:00 UTC, so no task starts. The last error: No route."
    )

    QrsSite.objects.filter(pk=site.pk).update(unreachable_since=None, wait_until=None, failures=0)
    pass_time(1)
    assert service.titles[1:] == ["Qlik Sense is back", "Start failed: 2 schedules", "Started late: Third"]
    assert service.received[1]["message"].startswith("Well again after 31 minutes")


def test_one_call_that_was_not_answered_is_no_outage(service, pass_time):
    QrsSite.objects.create(unreachable_since=at(6), failures=1, last_error="No answer within 30 s.")

    pass_time(60, step=60)

    assert service.received == []


def test_an_outage_that_goes_on_is_told_each_hour(service, pass_time):
    QrsSite.objects.create(unreachable_since=at(6), wait_until=at(6), failures=5)

    pass_time(130, step=60)

    assert service.titles == ["Qlik Sense is out of reach", *["Qlik Sense is still out of reach"] * 2]


def test_a_certificate_is_told_of_once_and_again_when_the_end_is_nearer(service, settings, tmp_path, clock, pass_time):
    clock.move_to(timezone.now())
    settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=29)
    pass_time(2)

    assert service.titles == ["Certificate expires: client.pem"]
    assert service.received[0]["message"].startswith(f"{tmp_path}/client.pem expires on ")
    clock.shift(timedelta(days=10))
    pass_time(2)
    assert len(service.received) == 1
    clock.shift(timedelta(days=5))
    pass_time(2)
    assert service.titles[1:] == ["Certificate still expires: client.pem"]

    write_certificates(tmp_path, days_left=400)
    pass_time(2)
    assert service.titles[2:] == ["Certificate renewed: client.pem"]


def test_a_channel_hears_only_of_its_schedules_tags_and_events(service, make_schedule, pass_time):
    sales = make_schedule(title="Sales", tags=["Sales"])
    stock = make_schedule(title="Stock")
    make_schedule(title="Other")
    AlertChannel.objects.update(name="by tag", tags=["Sales", "Nobody"])
    service.channel("by schedule").schedules.set([stock])
    service.channel("by event", events=["reload-failed"])
    QrsSite.objects.create(unreachable_since=at(5), wait_until=at(5), failures=5)
    for schedule in (sales, stock):
        close_run(schedule, "refused")
    close_run(stock, "failed")

    pass_time(1)

    told = AlertMessage.objects.order_by("channel_name", "pk").values_list("channel_name", "title")
    assert list(told) == [
        ("by event", "Reload failed: Stock"),
        ("by schedule", "Start failed: Stock"),
        ("by schedule", "Reload failed: Stock"),
        ("by tag", "Start failed: Sales"),
    ]


def test_the_channel_has_words_of_its_own(service, make_schedule, pass_time):
    AlertChannel.objects.update(title_template="[BI] {title}", body_template="{names}: {what}")
    close_run(make_schedule(title="Sales"), "refused", message="403.")

    pass_time(1)

    (message,) = service.received
    assert message["title"] == "[BI] Start failed: Sales"
    assert message["message"] == "Sales: Qlik Sense refused to start the task. 403."


def test_the_environment_alone_is_enough(clock, settings, make_schedule):
    with alert_service() as service:
        settings.BUTLER_ALERT_URLS = [service.url, f"{service.url}/second"]
        watch()
        close_run(make_schedule(), "refused")
        watch()

    paths = {message["path"] for message in service.received}
    assert paths == {f"/{SECRET}/in", f"/{SECRET}/in/second"}
    assert set(AlertMessage.objects.values_list("channel_name", flat=True)) == {"environment 1", "environment 2"}


def test_without_a_channel_nothing_is_looked_for_nor_told_later(clock, make_schedule, pass_time):
    close_run(make_schedule(), "refused")
    with CaptureQueriesContext(connection) as queries:
        watch()
    assert len(queries) == 3
    assert not AlertCondition.objects.exists()

    with alert_service() as service:
        clock.shift(180)
        service.channel()
        pass_time(1)
        assert service.received == []


def test_what_happened_while_nobody_looked_is_told(service, make_schedule, clock, pass_time):
    close_run(make_schedule(title="In the night"), "failed")
    clock.shift(timedelta(hours=8))

    pass_time(1)

    assert service.titles == ["Reload failed: In the night"]


def test_a_row_that_becomes_visible_late_is_not_missed(service, make_schedule, clock, pass_time):
    schedule = make_schedule(title="Slow commit")
    pass_time(2)
    close_run(make_schedule(title="Other"), "succeeded")
    pass_time(1 / 6)
    close_run(schedule, "failed", closed_at=timezone.now() - timedelta(seconds=90))

    pass_time(1)

    assert service.titles == ["Reload failed: Slow commit"]


def test_a_clock_that_is_ahead_hides_nothing(service, make_schedule, clock, pass_time):
    close_run(make_schedule(title="Ahead"), "failed", closed_at=timezone.now() + timedelta(seconds=100))
    pass_time(1 / 6)
    close_run(make_schedule(title="Right"), "failed")

    pass_time(2)

    assert service.titles == ["Reload failed: Ahead", "Reload failed: Right"]


def test_many_runs_that_close_at_one_moment_are_all_seen(service, make_schedule, monkeypatch, pass_time):
    monkeypatch.setattr(alert_findings, "PART", 3)
    for _ in range(10):
        close_run(make_schedule(), "failed")

    pass_time(1)

    assert service.titles == ["Reload failed: 10 schedules"]


def test_of_two_looks_at_the_same_time_one_writes(service, make_schedule, monkeypatch):
    close_run(make_schedule(), "failed")
    find = alerts._find

    def find_while_another_looks(watch, *, now):
        found = find(watch, now=now)
        monkeypatch.setattr(alerts, "_find", find)
        assert alerts.look() == 1
        return found

    monkeypatch.setattr(alerts, "_find", find_while_another_looks)

    assert alerts.look() == 0
    assert AlertMessage.objects.count() == AlertCondition.objects.count() == AlertSighting.objects.count() == 1


def test_a_start_without_a_schedule_is_told_by_its_task(service, pass_time):
    run = close_run(None, "refused", reason="api")

    pass_time(1)

    assert service.titles == [f"Start failed: Qlik task {run.qlik_task_id}"]


def test_the_task_has_its_name_where_it_is_known(service, make_schedule, pass_time):
    QlikTask.objects.create(id=TASK_ID, name="Reload of Sales", seen_at=timezone.now())
    close_run(make_schedule(qlik_task_id=TASK_ID.upper()), "failed")

    pass_time(1)

    assert f"Qlik task: Reload of Sales ({TASK_ID.upper()})" in service.received[0]["message"].splitlines()


def test_what_a_deleted_schedule_left_is_told(service, make_schedule, pass_time):
    schedule = make_schedule(title="Gone")
    close_run(schedule, "failed")
    services.delete_schedules([schedule.name], origin=ORIGIN)

    pass_time(1)

    assert service.titles == [f"Reload failed: deleted schedule {schedule.name}"]


def test_what_was_the_matter_with_a_deleted_schedule_ends_in_silence(service, make_schedule, pass_time):
    schedule = make_schedule(title="Gone")
    close_run(schedule, "failed")
    pass_time(1)
    services.delete_schedules([schedule.name], origin=ORIGIN)

    pass_time(5)

    condition = AlertCondition.objects.get()
    assert (condition.is_settled, condition.ended_at is None) == (True, False)
    assert service.titles == ["Reload failed: Gone"]


def test_a_run_that_the_service_itself_drops_is_told_as_missed(service, make_schedule, clock, pass_time):
    """What claims write begins with the mark that the rules look for."""
    schedule = make_schedule(title="Dropped", misfire="skip")
    run = close_run(schedule, "queued", due_at=at(5, 58), called_at=None, closed_at=None)
    claims.claim_runs([run.pk], worker="w", now=timezone.now())
    Run.objects.filter(pk=run.pk).update(closed_at=timezone.now())

    pass_time(1)

    assert service.titles == ["Run missed: Dropped"]


def test_a_quiet_look_costs_few_queries(service, make_schedule, clock):
    for _ in range(20):
        close_run(make_schedule(), "succeeded")
    watch()
    clock.shift(10)

    with CaptureQueriesContext(connection) as queries:
        watch()

    assert len(queries) == 11, [query["sql"] for query in queries]


def test_old_history_is_forgotten(service, make_schedule, clock, pass_time):
    schedule = make_schedule()
    close_run(schedule, "failed")
    pass_time(1)
    close_run(schedule, "succeeded")
    pass_time(1)
    clock.shift(timedelta(days=91))

    close_run(make_schedule(), "failed")
    pass_time(1)

    assert AlertMessage.objects.count() == AlertCondition.objects.count() == AlertSighting.objects.count() == 1
    assert "2027" in str(AlertWatch.objects.get())
