"""The status page."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import add

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_schedules():
    add("task-1", cron_schedule="*/30 * * * * *")
    add("ö", enabled=False)


@pytest.mark.parametrize("accept", [None, "*/*", "text/*", "image/png", "text/plain, application/json;q=0.9"])
def test_it_is_text_for_people(client, accept):
    answer = client.get("/v4/schedules/status", headers={"accept": accept} if accept else {})

    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content.decode() == ("{\n'task-1': */30 * * * * * status: Running\n'ö': @hourly status: Stopped\n}")


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*", "application/*"])
def test_it_is_json_for_whoever_asks(client, accept):
    answer = client.get("/v4/schedules/status", headers={"accept": accept})

    assert answer["Content-Type"] == "application/json"
    assert answer.json() == [
        {"id": "task-1", "cronSchedule": "*/30 * * * * *", "status": "Running"},
        {"id": "ö", "cronSchedule": "@hourly", "status": "Stopped"},
    ]
