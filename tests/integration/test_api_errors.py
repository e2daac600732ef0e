"""What the API refuses, and how it says so."""

from __future__ import annotations

import json
import logging

import pytest
from django.contrib import admin
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django_celery_beat.models import PeriodicTask

from butler.urls import answer_bad_request
from schedules import services
from schedules.models import Schedule
from tests.integration.api_calls import BODY, add, post

pytestmark = pytest.mark.django_db

FIELDS = ["name", "cronSchedule", "timezone", "qlikSenseTaskId", "startupState"]


def post_raw(client: Client, body: bytes, content_type: str = "application/json"):
    return client.generic("POST", "/v4/schedules", body, content_type=content_type)


def assert_refused(answer, status: int, error: str, *parts: str) -> dict:
    """Check the shape of an error and that its message has the given parts; return it."""
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["error"]) == (status, status, error)
    assert answer["Content-Type"] == "application/json"
    assert list(body)[:3] == ["statusCode", "error", "message"]
    for part in parts:
        assert part in body["message"]
    assert not PeriodicTask.objects.exists()
    return body


def assert_invalid(answer, **fields: str) -> None:
    """Check that just these fields were refused, each with a message that has the given part."""
    body = assert_refused(answer, 400, "Bad Request")
    assert list(body) == ["statusCode", "error", "message", "code", "fields"]
    assert body["code"] == "FST_ERR_VALIDATION"
    assert body["fields"].keys() == fields.keys()
    for field, part in fields.items():
        assert part in " ".join(body["fields"][field])
        assert f"{field}: " in body["message"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(client, field):
    body = {key: value for key, value in BODY.items() if key != field}

    answer = client.post("/v4/schedules", body, content_type="application/json")

    assert_invalid(answer, **{field: "missing"})


@pytest.mark.parametrize("value", [5, 5.5, True, None, ["a"], {"a": "b"}])
@pytest.mark.parametrize("field", FIELDS)
def test_only_a_text_is_a_text(client, field, value):
    assert_invalid(post(client, **{field: value}), **{field: f"{json.dumps(value)} is not a text"})


@pytest.mark.parametrize("field", FIELDS)
def test_an_empty_text_is_refused(client, field):
    assert_invalid(post(client, **{field: ""}), **{field: "empty"})


@pytest.mark.parametrize("character", [chr(0), chr(0xD800), chr(0xDFFF)])
@pytest.mark.parametrize("field", FIELDS)
def test_a_character_that_no_database_stores_is_named(client, field, character):
    assert_invalid(post(client, **{field: f"a{character}"}), **{field: f"U+{ord(character):04X}"})


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("name", "x" * 1001, "1,001 characters"),
        ("cronSchedule", "* " * 400, "800 characters"),
        ("cronSchedule", "* * * * * * *", "7 fields"),
        ("cronSchedule", "61 * * * *", "'61' is out of range"),
        ("cronSchedule", "0 0 30 2 *", "can never fire"),
        ("cronSchedule", "every day", "2 fields"),
        ("timezone", "Europe/Atlantis", "'Europe/Atlantis' is not a time zone"),
        ("timezone", "europe/stockholm", "Did you mean Europe/Stockholm?"),
        ("timezone", "../../etc/passwd", "is not a time zone"),
        ("timezone", "localtime", "'localtime' is not a time zone"),
        ("timezone", "Factory", "'Factory' is not a time zone"),
        ("timezone", "posixrules", "'posixrules' is not a time zone"),
        ("timezone", "posix/Europe/Stockholm", "is not a time zone"),
        ("timezone", "right/Europe/Stockholm", "is not a time zone"),
        ("timezone", "factory", "'factory' is not a time zone"),
        ("timezone", "leapseconds", "'leapseconds' is not a time zone"),
        ("timezone", "tzdata.zi", "'tzdata.zi' is not a time zone"),
        ("timezone", "Europe", "'Europe' is not a time zone"),
        ("timezone", "/usr/share/zoneinfo/UTC", "is not a time zone"),
        ("timezone", "Europe/../UTC", "'Europe/../UTC' is not a time zone"),
        ("timezone", "x" * 100_000, "100,000 characters"),
        ("qlikSenseTaskId", "42", "'42' is not a GUID"),
        ("qlikSenseTaskId", f"{BODY['qlikSenseTaskId']}\n", "37 characters"),
        ("startupState", "Started", "'Started' is not one of start, started, stop, stopped"),
        ("startupState", "paused", "'paused' is not one of"),
        ("tags", "Sales", "'Sales' is not a list of texts"),
        ("tags", {"0": "Sales"}, "is not a list of texts"),
        ("tags", None, "null is not a list of texts"),
        ("tags", ["Sales", 1, None], "Item 2, 1, is not a text. Item 3, null, is not a text."),
        ("tags", ["\ud800"], "Item 1, '\\ud800', has the character U+D800"),
    ],
)
def test_a_rule_that_is_broken_is_told_with_the_value(client, field, value, part):
    assert_invalid(post(client, **{field: value}), **{field: part})


def test_all_that_is_wrong_is_told_at_once(client):
    answer = post(client, name=1, cronSchedule="x", timezone="y", qlikSenseTaskId="z", startupState="u", tags=[2], v=3)

    assert_invalid(
        answer,
        name="not a text",
        cronSchedule="1 field",
        timezone="time zone",
        qlikSenseTaskId="GUID",
        startupState="not one of",
        tags="Item 1",
        v="not a field",
    )


@pytest.mark.parametrize(
    ("key", "advice"),
    [("timeZone", "Did you mean timezone?"), ("taskId", "the fields are name, cronSchedule"), ("", "Leave it out")],
)
def test_an_unknown_key_is_refused_by_name(client, key, advice):
    assert_invalid(post(client, **{key: "Europe/Stockholm"}), **{key: f"'{key}' is not a field of a schedule. "})
    assert advice in post(client, **{key: "x"}).json()["message"]


def test_a_key_that_has_no_utf_8_is_told_as_json_can(client):
    answer = post_raw(client, json.dumps(BODY | {"\ud800": 1}).encode())

    assert rb'"\ud800":[' in answer.content
    assert_invalid(answer, **{"\ud800": "not a field"})


def test_a_flood_of_mistakes_gets_a_short_answer(client):
    keys = {f"key{number}": 1 for number in range(20_000)}

    answer = post(client, tags=[0] * 20_000, **keys)

    assert answer.status_code == 400
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "line 1 column 2"),
        (b'{"name": "a",}', "line 1 column"),
        (b"name=a", "is not JSON"),
        (b" ", "is not JSON"),
        (b'{"name": NaN}', "NaN is no JSON value"),
        (b'{"name": "a", "name": "b"}', "the key 'name' is there twice"),
        (b'{"name": "\xe5"}', "byte 0xe5 at position 10"),
        (b'{"name": "\xed\xa0\x80"}', "is not UTF-8"),
        ('{"name": "å"}'.encode("utf-16"), "is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5_000, "is not JSON"),
        (b'{"name": "a\nb"}', "Invalid control character"),
        (b"[]", "[] is not a JSON object"),
        (b'["' + b"a" * 1000 + b'"]', "... is not a JSON object"),
        (b'"text"', "'text' is not a JSON object"),
        (b"17", "17 is not a JSON object"),
        (b"null", "null is not a JSON object. Send one with name, cronSchedule"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client, body, part):
    answer = post_raw(client, body)

    assert list(assert_refused(answer, 400, "Bad Request", part)) == ["statusCode", "error", "message"]


def test_no_body_lacks_all_fields(client):
    assert_invalid(client.post("/v4/schedules", content_type="application/json"), **dict.fromkeys(FIELDS, "missing"))


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", "Application/JSON"])
def test_json_may_be_announced_in_other_words(client, content_type):
    answer = post_raw(client, b"\xef\xbb\xbf" + json.dumps(BODY, ensure_ascii=False).encode(), content_type)

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "json", "a" * 900],
)
def test_another_content_type_is_refused_by_name(client, content_type):
    answer = post_raw(client, json.dumps(BODY).encode(), content_type)

    assert_refused(answer, 415, "Unsupported Media Type", repr(content_type), "Content-Type: application/json")


def test_a_body_without_a_content_type_is_refused(client):
    assert_refused(post_raw(client, b"{}", ""), 415, "Unsupported Media Type", "no Content-Type")


def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_not(client):
    body = json.dumps(BODY).encode()

    assert_refused(post_raw(client, body.ljust(1024 * 1024 + 1)), 413, "Payload Too Large", "1,048,576 bytes")
    assert post_raw(client, body.ljust(1024 * 1024)).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v4/schedules?id=a"),
        ("DELETE", "/v4/schedules/a"),
        ("PUT", "/v4/schedules/a/start"),
        ("PUT", "/v4/schedules/a/stop"),
        ("PUT", "/v4/schedules/start/start"),
    ],
)
def test_an_unknown_id_is_not_found(client, method, path):
    assert_refused(client.generic(method, path), 404, "Not Found", "There is no schedule with the id '")


def test_one_unknown_id_is_told_as_it_is(client):
    assert_refused(client.get("/v4/schedules", {"id": "å\n\0"}), 404, "Not Found", r"'å\n\x00'")


@pytest.mark.parametrize(("query", "part"), [("id=", "is empty"), ("id=a&id=b", "more than once")])
def test_an_id_that_names_nothing_is_refused(client, query, part):
    assert_refused(client.get(f"/v4/schedules?{query}"), 400, "Bad Request", part)


@pytest.mark.parametrize(
    "path", ["/v4/schedules/", "/v4/schedule", "/v4", "/v4/", "/v3/schedules", "/nothing", "/v4/schedules%0A"]
)
def test_an_unknown_path_is_not_found(client, path):
    assert_refused(client.get(path), 404, "Not Found", "/v4/schedules")


def test_the_slash_too_many_is_told(client):
    assert_refused(client.get("/v4/schedules/"), 404, "Not Found", "no slash at the end")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v4/schedules", "GET or POST"),
        ("PATCH", "/v4/schedules", "GET or POST"),
        ("DELETE", "/v4/schedules", "GET or POST"),
        ("BREW", "/v4/schedules", "GET or POST"),
        ("GET", "/v4/schedules/a", "PATCH or DELETE"),
        ("PUT", "/v4/schedules/a", "PATCH or DELETE"),
        ("POST", "/v4/schedules/a/start", "PUT"),
        ("DELETE", "/v4/schedules/a/stop", "PUT"),
        ("GET", "/v4/schedules/startall", "PUT"),
        ("DELETE", "/v4/schedules/stop", "PUT"),
        ("PUT", "/v4/schedules/status", "GET"),
        ("GET", "/v4/schedules/a/pause", "PUT"),
        ("POST", "/v4/schedules/a/resume", "PUT"),
        ("POST", "/v4/maintenance", "GET or PUT or DELETE"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(client, method, path, allowed):
    answer = client.generic(method, path)

    assert_refused(answer, 405, "Method Not Allowed", f"{method} is not possible on {path}. Use {allowed}.")
    assert set(allowed.split(" or ")) <= set(answer["Allow"].split(", "))


def test_a_host_of_somebody_else_is_refused(client, caplog):
    caplog.set_level(logging.CRITICAL, logger="django.security.DisallowedHost")

    answer = client.get("/v4/schedules", headers={"host": "evil.example"})

    assert_refused(answer, 400, "Bad Request", "'evil.example'", "BUTLER_HOST")


def test_too_many_parameters_are_refused(client):
    answer = client.get(f"/v4/schedules?{'a=1&' * 2000}")

    assert_refused(answer, 400, "Bad Request", "cannot be read")


def test_a_request_that_is_refused_before_any_view_is_answered_in_json(rf):
    answer = answer_bad_request(rf.get("/v4/schedules"), SuspiciousOperation("too odd"))

    assert (answer.status_code, json.loads(answer.content)["message"]) == (400, "The request cannot be read: too odd")


def test_people_get_pages(client, admin_client, monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL)
    bad_request = client.get("/admin/login/", headers={"host": "evil.example"})
    not_found = admin_client.get("/admin/nothing/")
    monkeypatch.setattr(admin.site, "each_context", lambda _: 1 / 0)
    client.raise_request_exception = False
    server_error = client.get("/admin/login/")

    for answer, status in [(bad_request, 400), (not_found, 404), (server_error, 500)]:
        assert (answer.status_code, answer["Content-Type"]) == (status, "text/html; charset=utf-8")


@pytest.mark.parametrize("error", [OperationalError("database is locked"), InterfaceError("connection already closed")])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v4/schedules"), ("PUT", "/v4/schedules/stop")])
def test_a_database_that_is_away_is_a_matter_of_time(client, error, method, path):
    def refuse(*args: object) -> None:
        raise error

    with connection.execute_wrapper(refuse):
        answer = client.generic(method, path)

    assert_refused(answer, 503, "Service Unavailable", "Try again in 5 seconds")
    assert answer["Retry-After"] == "5"


def test_an_error_of_ours_is_told_without_its_inside(client, monkeypatch, caplog):
    def fail(public_id: str) -> Schedule:
        raise RuntimeError("the inside")

    monkeypatch.setattr(services, "get_schedule", fail)
    client.raise_request_exception = False

    answer = client.get("/v4/schedules?id=a")

    assert_refused(answer, 500, "Internal Server Error")
    assert b"inside" not in answer.content
    assert "the inside" in caplog.text
    assert "Traceback" in caplog.text


def test_a_refused_body_leaves_the_schedules_as_they_were(client):
    """Butler answers 201 to a cron text that never runs."""
    add("a")
    before = client.get("/v4/schedules").content

    assert post(client, cronSchedule="nonsense").status_code == 400

    assert client.get("/v4/schedules").content == before
