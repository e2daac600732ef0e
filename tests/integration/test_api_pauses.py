"""Pauses and maintenance through the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.test import Client

from schedules import services
from schedules.models import Maintenance, Run, Schedule, ScheduleChange
from schedules.views import ScheduleViewSet
from tests.conftest import ORIGIN
from tests.integration.api_calls import add

pytestmark = pytest.mark.django_db

UNTIL = "2026-11-24T12:00:00.000Z"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(datetime(2026, 11, 24, 10, tzinfo=UTC), tick=False) as clock:
        yield clock


def put(client: Client, path: str, **body: object) -> Any:
    return client.put(f"/v4/{path}", body, content_type="application/json")


@pytest.mark.parametrize("public_id", ["a", "sales/daily", "pause/a", "a.b"])
def test_a_pause_is_answered_with_the_schedule_and_its_pause(client, public_id):
    add(public_id)
    before = client.get("/v4/schedules").json()

    answer = put(client, f"schedules/{public_id}/pause", until="2026-11-24T13:00:00+01:00", reason="New disks")

    assert answer.status_code == 200, answer.content
    assert answer.json() == [before[0] | {"pausedUntil": UNTIL, "pauseReason": "New disks"}]
    assert list(answer.json()[0])[-3:] == ["lastKnownState", "pausedUntil", "pauseReason"]
    change = ScheduleChange.objects.latest("pk")
    assert (change.action, change.source) == ("pause", "api")


def test_a_pause_is_in_answers_only_while_it_lasts(client, clock):
    add("a")
    before = client.get("/v4/schedules").content
    put(client, "schedules/a/pause", until=UNTIL)
    assert client.get("/v4/schedules").json()[0]["pausedUntil"] == UNTIL

    clock.move_to(datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC))

    assert client.get("/v4/schedules").content == before


def test_a_reason_may_be_left_out(client):
    add("a")

    assert "pauseReason" not in put(client, "schedules/a/pause", until=UNTIL).json()[0]


def test_a_resume_ends_it_with_any_body_or_none(client):
    add("a")
    before = client.get("/v4/schedules").json()
    for body in ({}, {"data": "any", "content_type": "text/plain"}):
        put(client, "schedules/a/pause", until=UNTIL)

        answer = client.put("/v4/schedules/a/resume", **body)

        assert (answer.status_code, answer.json()) == (200, before)


_WRONG = [
    ({"until": "tomorrow"}, "until", "'tomorrow' is no instant"),
    ({"until": "2099-12-01x06:00:00Z"}, "until", "'2099-12-01x06:00:00Z' is no instant"),
    ({"until": "2026-11-24T10:00:00Z"}, "until", "2026-11-24 10:00:00 UTC has passed, it is 2026-11-24 10:00:00"),
    ({"until": UNTIL, "reason": 5}, "reason", "5 is not a text"),
    ({"until": UNTIL, "reason": "x" * 201}, "reason", "201 characters"),
    ({"until": UNTIL, "reason": "a\nb"}, "reason", "printable characters on one line"),
    ({"until": UNTIL, "why": "x"}, "why", "Leave it out; the fields are until, reason."),
    ({"Until": UNTIL}, "Until", "Did you mean until?"),
]


@pytest.mark.parametrize(
    ("path", "body", "field", "part"),
    [
        *[("schedules/a/pause", *case) for case in _WRONG],
        *[("maintenance", *case) for case in _WRONG],
        ("schedules/a/pause", {}, "until", "This field is missing. Add it, as an instant such as"),
        ("schedules/a/pause", {"until": None}, "until", "null is no instant"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_with_value_and_rule(client, path, body, field, part):
    add("a")

    answer = put(client, path, **body)

    assert (answer.status_code, answer.json()["statusCode"], answer.json()["code"]) == (400, 400, "FST_ERR_VALIDATION")
    assert part in " ".join(answer.json()["fields"][field])
    assert Schedule.objects.get().paused_until is None
    assert not Maintenance.objects.exists()


@pytest.mark.parametrize("call", ["pause", "resume"])
def test_an_unknown_id_is_answered_404(client, call):
    answer = put(client, f"schedules/nobody/{call}", until=UNTIL)

    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


def test_a_body_that_is_no_object_is_refused(client):
    add("a")

    answer = client.put("/v4/schedules/a/pause", "[]", content_type="application/json")

    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "[] is not a JSON object. Send one with until, reason.",
    )


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_no_id_ends_as_these_paths_do(client, word):
    """Else /v4/schedules/a/pause could mean two things."""
    with pytest.raises(Exception, match="cannot be an id"):
        add(f"a/{word}")


def test_a_maintenance_is_begun_seen_and_ended(client):
    assert client.get("/v4/maintenance").json() == {"active": False}

    begun = put(client, "maintenance", until=UNTIL, reason="New disks")
    there = {"active": True, "since": "2026-11-24T10:00:00.000Z", "until": UNTIL, "reason": "New disks"}
    assert (begun.status_code, begun.json()) == (200, there)
    assert client.get("/v4/maintenance").json() == there

    ended = client.delete("/v4/maintenance")
    assert (ended.status_code, ended.content) == (204, b"")
    assert client.get("/v4/maintenance").json() == {"active": False}
    assert client.delete("/v4/maintenance").status_code == 204
    assert (
        list(ScheduleChange.objects.values_list("action", "source", "actor"))
        == [("maintenance", "api", "127.0.0.1")] * 2
    )


@pytest.mark.parametrize("body", [None, {}, {"until": None, "reason": ""}])
def test_a_maintenance_needs_neither_end_nor_reason(client, body):
    given = {} if body is None else {"data": body, "content_type": "application/json"}

    answer = client.put("/v4/maintenance", **given)

    assert answer.json() == {"active": True, "since": "2026-11-24T10:00:00.000Z"}


def test_a_second_maintenance_is_a_conflict(client):
    put(client, "maintenance", reason="New disks")

    answer = put(client, "maintenance")

    assert answer.status_code == 409
    assert answer.json() == {
        "statusCode": 409,
        "error": "Conflict",
        "message": "The site is in maintenance since 2026-11-24 10:00:00 UTC: New disks. "
        "End it before you begin another one.",
    }


def test_a_run_that_is_asked_for_during_a_maintenance_is_a_conflict(client, monkeypatch):
    """No call of the API asks for a run of a schedule yet; whichever will, gets this answer."""
    add("a")
    put(client, "maintenance")
    monkeypatch.setattr(ScheduleViewSet, "list", lambda view, request: services.run_now(["a"], origin=ORIGIN))

    answer = client.get("/v4/schedules")

    assert (answer.status_code, answer.json()["error"]) == (409, "Conflict")
    assert not Run.objects.exists()


def test_a_post_can_stand_for_these_calls(client):
    add("a")
    put(client, "schedules/a/pause", until=UNTIL)

    client.post("/v4/maintenance", "", content_type="text/plain", headers={"X-HTTP-Method-Override": "PUT"})
    client.post("/v4/schedules/a/resume", headers={"X-HTTP-Method-Override": "PUT"})
    assert Maintenance.objects.get().ended_at is None
    assert Schedule.objects.get().paused_until is None

    client.post("/v4/maintenance", headers={"X-HTTP-Method-Override": "DELETE"})
    assert Maintenance.objects.get().ended_at is not None
