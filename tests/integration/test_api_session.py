"""The session of the documentation, to the byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "schedules.yaml"

TASK_1 = (
    '{"name":"Every 30 sec","cronSchedule":"*/30 * * * * *","timezone":"Europe/Stockholm",'
    '"qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b","startupState":"started",'
    '"tags":["Sales","abc 123 åäö","Transform"],"id":"task-1","lastKnownState":"started"}'
)
TASK_2 = (
    '{"name":"Every 2 hours","cronSchedule":"0 */2 * * *","timezone":"Europe/London",'
    '"qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b","startupState":"started",'
    '"tags":["Finance","Extract"],"id":"task-2","lastKnownState":"started"}'
)
MANUAL = (
    '{"name":"Every 5th minute from 0 through 30 past every hour from 6 through 18 on every day-of-week '
    'from Monday through Friday","cronSchedule":"0-30/5 6-18 * * 1-5","timezone":"Europe/Paris",'
    '"qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b","startupState":"started",'
    '"tags":["finance ETL","weekdays"],"id":"Manually-added-schedule-1","lastKnownState":"started"}'
)
NEW = (
    '{"timezone":"Europe/Stockholm","tags":["tag 1","abc 123 åäö"],'
    '"qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b","name":"Every 5 sec",'
    '"cronSchedule":"*/5 * * * * *","startupState":"started"}'
)
CREATED = (
    r'\{"created":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","name":"Every 5 sec","cronSchedule":"\*/5 \* \* \* \* \*",'
    r'"timezone":"Europe/Stockholm","qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",'
    r'"startupState":"started","tags":\["tag 1","abc 123 åäö"\],'
    r'"id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}","lastKnownState":"started"\}'
)


@pytest.fixture
def examples(capsys):
    call_command("schedules", "import", str(EXAMPLES))


def test_the_list_of_the_examples_is_856_bytes(client, examples):
    answer = client.get("/v4/schedules")

    assert answer.content.decode() == f"[{TASK_1},{TASK_2},{MANUAL}]"
    assert (answer.status_code, len(answer.content)) == (200, 856)
    assert answer["Content-Type"] == "application/json"


def test_one_example_is_366_bytes(client, examples):
    answer = client.get("/v4/schedules?id=Manually-added-schedule-1")

    assert answer.content.decode() == MANUAL
    assert (answer.status_code, len(answer.content)) == (200, 366)
    assert answer["Content-Type"] == "application/json"


def test_create_stop_look_start_as_the_documentation_shows_it(client: Client, examples):
    created = client.post("/v4/schedules", NEW, content_type="application/json")
    assert (created.status_code, len(created.content)) == (201, 307)
    assert created["Content-Type"] == "application/json"
    assert re.fullmatch(CREATED, created.content.decode())

    started = created.content.decode()
    stopped = started.replace('"lastKnownState":"started"', '"lastKnownState":"stopped"')
    path = f"/v4/schedules/{json.loads(started)['id']}"

    stop = client.put(f"{path}/stop")
    assert (stop.status_code, len(stop.content)) == (200, 309)
    assert stop.content.decode() == f"[{stopped}]"

    look = client.get("/v4/schedules", {"id": json.loads(started)["id"]})
    assert (look.status_code, len(look.content)) == (200, 307)
    assert look.content.decode() == stopped

    start = client.put(f"{path}/start")
    assert (start.status_code, len(start.content)) == (200, 309)
    assert start.content.decode() == f"[{started}]"

    listed = client.get("/v4/schedules")
    assert listed.content.decode() == f"[{TASK_1},{TASK_2},{MANUAL},{started}]"
