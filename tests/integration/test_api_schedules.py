"""What the API does with schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules.models import Schedule, ScheduleChange
from tests.integration.api_calls import BODY, add, post

pytestmark = pytest.mark.django_db


def test_an_empty_service_lists_nothing(client):
    assert client.get("/v4/schedules").content == b"[]"


def test_what_was_sent_comes_back_and_is_stored(client):
    answer = post(client, tags=["å", ""]).json()

    stored = Schedule.objects.get(name=answer["id"])
    assert list(answer) == ["created", *BODY, "tags", "id", "lastKnownState"]
    assert BODY.items() <= answer.items()
    assert answer["tags"] == stored.tags == ["å", ""]
    assert (stored.title, stored.cron_schedule, stored.timezone) == ("Every morning", "0 6 * * *", "Asia/Tokyo")


def test_a_name_is_kept_as_it_was_sent_and_need_not_be_unique(client):
    names = [post(client, name="  Näme \u2028 \"' \\ 😀 ").json()["name"] for _ in range(2)]

    assert names == ["  Näme \u2028 \"' \\ 😀 "] * 2
    assert [schedule["name"] for schedule in client.get("/v4/schedules").json()] == names


@pytest.mark.parametrize("tags", [{}, {"tags": []}])
def test_a_schedule_without_tags_has_no_such_key(client, tags):
    assert "tags" not in post(client, **tags).json()


def test_created_is_utc_with_milliseconds(client):
    before = timezone.now()
    created = post(client).json()["created"]

    assert len(created) == len("2020-10-15T05:31:16.123Z")
    moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert 0 <= (moment - before).total_seconds() + 0.001 < 10


def test_a_whole_second_has_its_milliseconds_too(client):
    add("a", created_at=datetime(2020, 10, 15, 5, 31, 16, tzinfo=UTC))

    assert client.get("/v4/schedules").json()[0]["created"] == "2020-10-15T05:31:16.000Z"


@pytest.mark.parametrize(
    ("startup_state", "state"),
    [("start", "started"), ("started", "started"), ("stop", "stopped"), ("stopped", "stopped")],
)
def test_the_startup_state_is_echoed_and_sets_the_state(client, startup_state, state):
    answer = post(client, startupState=startup_state).json()

    assert (answer["startupState"], answer["lastKnownState"]) == (startup_state, state)


def test_what_only_the_service_decides_is_ignored_in_a_body(client):
    answer = post(client, id=7, created=None, lastKnownState="asleep").json()

    assert len(answer["id"]) == 36
    assert answer["lastKnownState"] == "started"


def test_a_time_zone_is_the_one_in_which_the_schedule_runs(client):
    """Butler reads another key, so that 06:00 in Tokyo is 06:00 wherever it is installed."""
    post(client)

    due = Schedule.objects.get().next_due_at(after=datetime(2026, 6, 1, tzinfo=UTC))
    assert due == datetime(2026, 6, 1, 21, tzinfo=UTC)


def test_a_delete_answers_nothing_and_leaves_the_others(client):
    add("a")
    add("b")

    answer = client.delete("/v4/schedules/a")

    assert (answer.status_code, answer.content, "Content-Type" in answer) == (204, b"", False)
    assert [schedule["id"] for schedule in client.get("/v4/schedules").json()] == ["b"]
    assert client.delete("/v4/schedules/a").status_code == 404


@pytest.mark.parametrize(("action", "state"), [("start", "started"), ("stop", "stopped")])
def test_start_and_stop_answer_an_array_of_one_and_may_be_repeated(client, action, state):
    add("a", enabled=action == "stop")

    answers = [client.put(f"/v4/schedules/a/{action}") for _ in range(2)]

    for answer in answers:
        assert answer.status_code == 200
        assert [(schedule["id"], schedule["lastKnownState"]) for schedule in answer.json()] == [("a", state)]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"{}", "application/json"),
        (b"{broken", "application/json"),
        (b"a=1", "application/x-www-form-urlencoded"),
        (b"\xff\x00", "application/octet-stream"),
        (b" " * (1024 * 1024 + 1), "text/plain"),
    ],
)
def test_start_and_stop_take_any_body(client, body, content_type):
    add("a")

    assert client.put("/v4/schedules/a/stop", body, content_type=content_type).status_code == 200
    assert client.put("/v4/schedules/stop", body, content_type=content_type).status_code == 200


@pytest.mark.parametrize("path", ["start", "startall"])
def test_all_are_started_by_either_path(client, path):
    add("a", enabled=False)
    add("b")

    answer = client.put(f"/v4/schedules/{path}")

    assert answer.status_code == 200
    assert [(s["id"], s["lastKnownState"]) for s in answer.json()] == [("a", "started"), ("b", "started")]
    assert Schedule.objects.filter(enabled=True).count() == 2


@pytest.mark.parametrize("path", ["stop", "stopall"])
def test_all_are_stopped_by_either_path(client, path):
    add("a")
    add("b", enabled=False)

    answer = client.put(f"/v4/schedules/{path}")

    assert [(s["id"], s["lastKnownState"]) for s in answer.json()] == [("a", "stopped"), ("b", "stopped")]
    assert Schedule.objects.filter(enabled=False).count() == 2


def test_an_id_in_the_query_of_a_path_for_all_stops_nobody(client):
    add("a")

    answer = client.put("/v4/schedules/stop?id=a")

    assert answer.status_code == 400
    assert "put its id before the last slash" in answer.json()["message"]
    assert Schedule.objects.get().enabled


def test_a_stop_by_the_api_is_what_a_restart_finds(client):
    """In Butler the startup state alone counts at a restart."""
    public_id = post(client, startupState="started").json()["id"]
    client.put(f"/v4/schedules/{public_id}/stop")

    fresh = Schedule.objects.get(name=public_id)
    assert (fresh.enabled, fresh.startup_state) == (False, "started")


def test_a_change_is_recorded_with_the_address_it_came_from(client):
    post(client)

    change = ScheduleChange.objects.get()
    assert (change.source, change.actor, change.action) == ("api", "127.0.0.1", "create")


@pytest.mark.parametrize(
    "public_id",
    ["v1.2", "with space", "åäö", "a/b", "a//b/", "100%", "a+b", "?x=1&y#z", "%2F", "start/1", "😀", "{}", "status2"],
)
def test_an_id_is_free_text(client, public_id):
    add(public_id)
    path = f"/v4/schedules/{quote(public_id, safe='')}"

    assert client.get("/v4/schedules", {"id": public_id}).json()["id"] == public_id
    assert client.put(f"{path}/stop").json()[0]["id"] == public_id
    assert client.put(f"{path}/start").json()[0]["lastKnownState"] == "started"
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize("tail", ["%0A", "/", "%00", "%20"])
def test_no_more_than_the_id_itself_names_a_schedule(client, tail):
    add("a")

    assert client.delete(f"/v4/schedules/a{tail}").status_code == 404
    assert client.get(f"/v4/schedules?id=a{tail}").status_code == 404
    assert Schedule.objects.exists()


def test_upper_and_lower_case_of_an_id_count(client):
    add("Task")

    assert client.get("/v4/schedules?id=task").status_code == 404


@pytest.mark.parametrize("path", ["/v4/schedules", "/v4/schedules/status"])
def test_a_list_is_one_query_however_many_there_are(client, django_assert_num_queries, path):
    for number in range(20):
        add(str(number))

    with django_assert_num_queries(1):
        assert client.get(path).status_code == 200


def test_a_create_and_a_stop_cost_the_same_however_many_there_are(client):
    """Butler writes its whole file anew for each change."""
    add("a")
    post(client)
    before = [queries_of(lambda: post(client)), queries_of(lambda: client.put("/v4/schedules/a/stop"))]
    for number in range(20):
        add(str(number))
    client.put("/v4/schedules/a/start")

    after = [queries_of(lambda: post(client)), queries_of(lambda: client.put("/v4/schedules/a/stop"))]
    assert after == before


def queries_of(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)
