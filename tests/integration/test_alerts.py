"""Alerts from the ledger to the service that people read: told once, told when well again, never a flood."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import time_machine

from schedules import alert_queue, alerts
from schedules.alert_tasks import watch
from schedules.models import (
    AlertCondition,
    AlertMessage,
    AlertSighting,
    AlertTelling,
    AlertWatch,
    QrsSite,
    Run,
    Schedule,
)
from tests.integration.alert_service import AlertService, alert_service, at, close_run, minutes

pytestmark = pytest.mark.django_db


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


def test_a_start_that_was_refused_is_told_once_with_the_next_step(service, make_schedule):
    schedule = make_schedule(title="Morning load")
    close_run(schedule, "refused", message="404: there is no task with this id.", due_at=at(5, 59))

    watch()
    watch()

    (message,) = service.received
    assert message["title"] == "Start failed: Morning load"
    assert message["message"].splitlines() == [
        "Qlik Sense refused to start the task. 404: there is no task with this id.",
        f"Schedule: Morning load ({schedule.name})",
        f"Qlik task: {schedule.qlik_task_id}",
        "Due: Tue 24 Nov 2026, 06:59 CET (05:59 UTC)",
        "",
        "What to do: Look in the Qlik Management Console whether the task is there and enabled, and whether the user of "
        "this service may start it. Then press “Run now” on the page of the schedule.",
    ]
    assert message["type"] == "failure"
    assert AlertMessage.objects.get().state == "sent"
