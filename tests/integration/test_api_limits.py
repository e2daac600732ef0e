"""Limits of a schedule, and edits of it, through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from schedules.models import Schedule, ScheduleChange
from tests.integration.api_calls import BODY, add, post
from tests.integration.test_api_errors import assert_invalid

pytestmark = pytest.mark.django_db

LIMITS: dict[str, Any] = {
    "misfire": "skip",
    "misfireGrace": 90,
    "startsAt": "2026-12-01T00:00:00.000Z",
    "endsAt": "2027-01-01T00:00:00.000Z",
    "maxRuns": 10,
    "jitter": 12.5,
    "excludedDates": ["2026-12-24", "2026-12-31/2027-01-01"],
}
DEFAULTS: dict[str, Any] = {
    "misfire": "once",
    "misfireGrace": 60,
    "startsAt": None,
    "endsAt": None,
    "maxRuns": None,
    "jitter": 0,
    "excludedDates": [],
}


def patch(client: Client, public_id: str, **values: object) -> Any:
    return client.patch(f"/v4/schedules/{public_id}", values, content_type="application/json")


def test_limits_are_stored_and_come_back_after_the_tags(client):
    answer = post(client, tags=["a"], **LIMITS)

    assert answer.status_code == 201, answer.content
    assert list(answer.json()) == ["created", *BODY, "tags", *LIMITS, "id", "lastKnownState"]
    assert LIMITS.items() <= answer.json().items()
    stored = Schedule.objects.get()
    assert (stored.misfire, stored.misfire_grace, stored.jitter) == (
        "skip",
        timedelta(seconds=90),
        timedelta(seconds=12.5),
    )
    assert (stored.starts_at, stored.ends_at) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (stored.max_runs, stored.excluded_dates) == (10, LIMITS["excludedDates"])
    assert client.get("/v4/schedules").json() == [answer.json()]


def test_a_client_of_butler_never_sees_a_limit(client):
    answer = post(client)

    assert list(answer.json()) == ["created", *BODY, "id", "lastKnownState"]


def test_a_limit_that_is_the_default_is_not_in_the_answer(client):
    answer = post(client, **DEFAULTS)

    assert answer.status_code == 201, answer.content
    assert not answer.json().keys() & DEFAULTS.keys()


@pytest.mark.parametrize("word", LIMITS)
def test_each_limit_is_in_the_answer_by_itself(client, word):
    answer = post(client, **{word: LIMITS[word]}).json()

    assert answer.keys() & LIMITS.keys() == {word}


def test_an_instant_may_have_any_offset_and_comes_back_in_utc(client):
    answer = post(client, startsAt="2026-12-01T01:00:00+01:00").json()

    assert answer["startsAt"] == "2026-12-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("word", "value", "part"),
    [
        ("misfire", "twice", "'twice' is not one of once, all, skip"),
        ("misfire", None, "null is not a text"),
        ("misfireGrace", "60", "'60' is not a number of seconds. Give one such as 30, without quotes."),
        ("misfireGrace", True, "true is not a number of seconds"),
        ("misfireGrace", None, "null is not a number of seconds"),
        ("misfireGrace", -1, "cannot be the misfire grace. Use 0 seconds to 366 days."),
        ("misfireGrace", 1e300, "are more than any schedule may have"),
        ("jitter", 86_401, "cannot be the jitter. Use 0 to 24 hours."),
        ("jitter", [1], "[1] is not a number of seconds"),
        ("startsAt", "2026-12-01T00:00:00", "'2026-12-01T00:00:00' is no instant. Write it as"),
        ("startsAt", "soon", "'soon' is no instant"),
        ("startsAt", "2026-12-01x06:00:00", "'2026-12-01x06:00:00' is no instant"),
        ("startsAt", "2026-12-01x06:00:00Z", "'2026-12-01x06:00:00Z' is no instant"),
        ("endsAt", "2026-W49-2T06:00:00Z", "'2026-W49-2T06:00:00Z' is no instant"),
        ("endsAt", 20261201, "20261201 is no instant"),
        ("endsAt", "9999-12-31T23:00:00-23:00", "is no instant"),
        ("maxRuns", 0, "0 cannot be the greatest number of runs. Use a whole number from 1"),
        ("maxRuns", 2**31, "2147483648 cannot be the greatest number of runs"),
        ("maxRuns", 1.5, "1.5 is not a whole number"),
        ("maxRuns", "3", "'3' is not a whole number. Give one such as 10, without quotes."),
        ("maxRuns", True, "true is not a whole number"),
        ("excludedDates", "2026-12-24", "'2026-12-24' is not a list of texts. Give one such as [\"2026-12-24\""),
        ("excludedDates", None, "null is not a list of texts"),
        ("excludedDates", [20261224], "Item 1, 20261224, is not a text."),
        ("excludedDates", ["2026-12-24", "24.12."], "'24.12.' is not a date. Write 2026-12-24, or"),
        ("excludedDates", ["2026-12-24/2026-12-01"], "'2026-12-24/2026-12-01' ends before it begins."),
    ],
)
def test_a_limit_that_breaks_a_rule_is_refused_with_value_and_rule(client, word, value, part):
    assert_invalid(post(client, **{word: value}), **{word: part})


def test_an_end_before_the_beginning_is_refused_by_the_words_of_the_body(client):
    answer = post(client, startsAt="2026-12-01T00:00:00Z", endsAt="2026-11-01T00:00:00Z")

    assert_invalid(answer, endsAt="2026-11-01 00:00:00 UTC, is not later than the beginning, 2026-12-01 00:00:00 UTC")


def test_a_word_in_the_wrong_case_is_pointed_out(client):
    assert_invalid(post(client, maxruns=3), maxruns="Did you mean maxRuns?")


def test_an_edit_changes_what_it_names_and_answers_with_the_schedule(client):
    created = post(client, tags=["a"]).json()

    answer = patch(client, created["id"], cronSchedule="0 7 * * *", maxRuns=3)

    assert answer.status_code == 200
    assert answer.json() == client.get(f"/v4/schedules?id={created['id']}").json()
    changed = {"cronSchedule": "0 7 * * *", "maxRuns": 3}
    assert answer.json() == created | changed
    change = ScheduleChange.objects.latest("pk")
    assert (change.action, change.source, change.actor) == ("edit", "api", "127.0.0.1")
    assert change.diff == {"cron_schedule": ["0 6 * * *", "0 7 * * *"], "max_runs": [None, 3]}


def test_an_edit_takes_limits_away(client):
    public_id = post(client, **LIMITS).json()["id"]

    answer = patch(client, public_id, **DEFAULTS)

    assert answer.status_code == 200
    assert not answer.json().keys() & DEFAULTS.keys()


def test_an_edit_of_nothing_changes_nothing(client):
    created = post(client).json()

    assert patch(client, created["id"]).json() == created
    assert ScheduleChange.objects.count() == 1


def test_an_edit_may_send_back_what_it_got_and_neither_starts_nor_stops(client):
    created = post(client).json()

    answer = patch(client, created["id"], **created | {"startupState": "stopped", "lastKnownState": "stopped"})

    assert answer.json() == created | {"startupState": "stopped"}


def test_an_edit_that_breaks_a_rule_changes_nothing(client):
    add("a", starts_at=datetime(2026, 12, 1, tzinfo=UTC))

    answer = patch(client, "a", name="New", timezone="Mars", cron="x")
    assert answer.json()["fields"].keys() == {"timezone", "cron"}
    answer = patch(client, "a", name="New", endsAt="2026-11-01T00:00:00Z")
    assert answer.status_code == 400
    assert answer.json()["fields"].keys() == {"endsAt"}

    assert Schedule.objects.get().title == "Hourly"


def test_an_edit_of_an_unknown_id_is_answered_404(client):
    answer = patch(client, "nobody", name="New")

    assert (answer.status_code, answer.json()["statusCode"]) == (404, 404)
    assert "'nobody'" in answer.json()["message"]


def test_an_id_with_slashes_is_edited_too(client):
    add("sales/daily")

    assert patch(client, "sales%2Fdaily", name="New").json()["name"] == "New"
