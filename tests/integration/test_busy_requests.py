"""Requests that wait for Qlik Sense take half of the web's threads: what does not need it is never kept waiting."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from qlik.errors import NotStartedError
from schedules import qrs, starting
from schedules.models import Run
from tests.chaos.programs import ROOT
from tests.conftest import TASK_ID
from tests.waiting import wait_for

PLACES = 4
START, STOP = f"/v4/reloadtask/{TASK_ID}/start", f"/v4/reloadtask/{TASK_ID}/stop"


@pytest.fixture
def is_busy() -> Iterator[ExitStack]:
    """Let as many requests as may be wait for QRS, until the stack is closed."""
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(qrs.waiting_for_qrs())
        yield stack


def assert_busy(answer: Any) -> None:
    body = answer.json()
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert list(body) == ["statusCode", "error", "message"]
    assert (body["statusCode"], body["error"]) == (503, "Service Unavailable")
    assert "Nothing was done; try again" in body["message"]


def told(response: Any) -> str:
    return str(list(get_messages(response.wsgi_request))[-1])


@pytest.mark.django_db(transaction=True)
def test_of_eight_starts_that_hang_half_are_turned_away_and_an_edit_goes_on(qrs_service, make_schedule, monkeypatch):
    gate, start, answers = threading.Event(), starting.start, []

    def start_late(run: Any) -> Any:
        gate.wait(30)
        return start(run)

    def ask() -> None:
        answers.append(Client().put(START))
        connections.close_all()

    monkeypatch.setattr(starting, "start", start_late)
    schedule = make_schedule()
    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    try:
        wait_for(lambda: Run.objects.filter(state="claimed").count() == PLACES, seconds=20)
        wait_for(lambda: len(answers) == 4, seconds=20)
        assert Client().put(f"/v4/schedules/{schedule.name}/stop").status_code == 200
        for answer in answers:
            assert_busy(answer)
    finally:
        gate.set()
        for thread in asking:
            thread.join(30)

    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 4
    assert Run.objects.filter(state="started").count() == PLACES, "no row for what was turned away"
    assert Client().put(START).status_code == 200, "the places are free again"


@pytest.mark.django_db
@pytest.mark.parametrize("path", [START, STOP])
@pytest.mark.parametrize("method", ["put", "post"])
def test_each_request_that_would_wait_is_turned_away_at_once(client, qrs_service, is_busy, path, method):
    assert_busy(getattr(client, method)(path, "[]", content_type="application/json"))

    assert qrs_service.entries() == []
    assert not Run.objects.exists()
    is_busy.close()
    assert getattr(client, method)(path, "[]", content_type="application/json").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/v4/schedules", "/v4/health", "/v4/reloadtask", "/v4/reloadtask/warnings", "/v4/forecast"]
)
def test_requests_that_do_not_wait_are_answered(client, qrs_service, redis_server, is_busy, path):
    assert client.get(path).status_code == 200


@pytest.mark.django_db
def test_the_admin_says_so_where_it_would_ask_qlik_sense(qrs_service, make_schedule, is_busy):
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    schedule = make_schedule()

    told_of_reading = told(client.post("/admin/schedules/qliktask/read/"))
    chosen = {"action": "stop_reload_selected", "_selected_action": [schedule.pk]}
    told_of_stopping = told(client.post("/admin/schedules/schedule/", chosen))

    assert "wait for Qlik Sense already" in told_of_reading
    assert "wait for Qlik Sense already" in told_of_stopping
    assert qrs_service.entries() == []


@pytest.mark.django_db
def test_the_command_line_says_so_too(qrs_service, is_busy):
    with pytest.raises(CommandError, match="wait for Qlik Sense already"):
        call_command("schedules", "tasks", "--refresh")


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 40])
def test_it_is_half_of_the_threads_that_the_web_server_has(threads):
    configuration = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    before = qrs._places
    try:
        configuration["post_worker_init"](SimpleNamespace(cfg=SimpleNamespace(threads=threads)))
        with ExitStack() as stack:
            for _ in range(max(threads // 2, 1)):
                stack.enter_context(qrs.waiting_for_qrs())
            with pytest.raises(qrs.QrsBusyError):
                stack.enter_context(qrs.waiting_for_qrs())
    finally:
        qrs._places = before


def test_a_place_is_free_again_whatever_happens_in_it():
    for _ in range(PLACES + 1):
        with pytest.raises(NotStartedError, match="gone"), qrs.waiting_for_qrs():
            raise NotStartedError("gone")


def test_the_web_server_has_twice_as_many_threads_as_there_are_places():
    assert runpy.run_path(str(ROOT / "gunicorn.conf.py"))["threads"] == 2 * PLACES
