"""Who makes work for beat wakes it, once the work can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import breaker, claims, following, runs, services, tasks
from schedules.models import QrsSite, Run
from schedules.qrs import qrs_client
from schedules.wakeup import WakeUpCall
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def call(redis_server) -> Iterator[WakeUpCall]:
    """The listening end, which hears what comes from now on."""
    listening = WakeUpCall()
    listening.wait(0.05)
    assert listening.is_listening
    yield listening
    listening._subscription.close()


def is_heard(call: WakeUpCall) -> bool:
    return call.wait(3)


def forget_calls(call: WakeUpCall) -> None:
    while call.wait(0.1):
        pass


def test_an_edit_is_told_when_it_is_committed_and_not_before(make_schedule, call):
    with transaction.atomic():
        make_schedule()
        assert not call.wait(0.2)

    assert is_heard(call)


def test_an_edit_that_is_not_made_is_not_told(make_schedule, call):
    with pytest.raises(services.UnknownScheduleError):
        services.stop_schedules(["nobody"], origin=ORIGIN)

    assert not call.wait(0.2)


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])


def test_the_end_of_a_reload_that_a_run_waits_for_is_told(qrs_service, run_now, call):
    qrs_service.site.change_task(UUID(TASK_ID), reload_seconds=60)
    first, second = run_now(overlap="queue"), run_now(overlap="queue")
    start(first)
    start(second)
    before = qrs_service.site._clock
    qrs_service.site._clock = lambda: before() + timedelta(hours=1)
    forget_calls(call)

    following.follow_runs(qrs_client, now=timezone.now())

    assert Run.objects.filter(state="waiting", next_try_at__lte=timezone.now()).count() == 1
    assert is_heard(call)


def test_the_return_of_qrs_is_told_where_it_was_away_and_else_not(run_now, call):
    now = timezone.now()
    QrsSite.objects.create(pk=1, failures=breaker.MOST_FAILURES, wait_until=now, unreachable_since=now)
    Run.objects.filter(pk=run_now().pk).update(state="retrying", next_try_at=now + timedelta(minutes=1))
    forget_calls(call)

    breaker.note_success(now=now)
    assert is_heard(call)
    breaker.note_success(now=now)
    assert not call.wait(0.2)


def test_room_below_the_limit_on_concurrent_starts_is_told(qrs_service, run_now, call, settings):
    settings.BUTLER_MAX_CONCURRENT_STARTS = 1
    run = run_now()
    forget_calls(call)

    start(run)

    assert is_heard(call)


def test_a_call_that_surely_failed_wakes_nobody_before_its_time(qrs_service, run_now, call):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    run = run_now()
    forget_calls(call)

    start(run)

    assert Run.objects.get(pk=run.pk).state == "retrying"
    assert not call.wait(0.2)
    assert claims.list_claiming_workers() == []
    assert runs.count_in_hand() == 0
