"""Odd requests that are answered all the same: methods, headers, bodies in chunks."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from schedules.models import Schedule
from tests.integration.api_calls import BODY, add, chunked

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "accept",
    ["text/html", "image/png", "application/json; indent=4", "application/xml;q=0.9", ";;,q=x", "", "a" * 5000],
)
def test_any_accept_header_gets_compact_json(client, accept):
    add("a")

    answer = client.get("/v4/schedules?format=xml", headers={"accept": accept})

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert b'"id":"a"' in answer.content
    assert b"\n" not in answer.content


def test_head_is_get_without_the_body(client):
    add("a")

    answer = client.head("/v4/schedules")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer["Content-Length"]) == len(client.get("/v4/schedules").content)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v4/schedules", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("/v4/schedules/a", {"PATCH", "DELETE", "OPTIONS"}),
        ("/v4/schedules/a/start", {"PUT", "OPTIONS"}),
        ("/v4/schedules/a/pause", {"PUT", "OPTIONS"}),
        ("/v4/maintenance", {"GET", "PUT", "DELETE", "HEAD", "OPTIONS"}),
        ("/v4/schedules/stopall", {"PUT", "OPTIONS"}),
        ("/v4/schedules/status", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_says_what_is_possible(client, path, methods):
    answer = client.options(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert set(answer["Allow"].split(", ")) == methods


@pytest.mark.parametrize("method", ["PUT", "put"])
def test_a_post_can_stand_for_a_put(client, method):
    add("a")

    answer = client.post("/v4/schedules/a/stop", headers={"X-HTTP-Method-Override": method})

    assert answer.status_code == 200
    assert not Schedule.objects.get().enabled


def test_a_post_can_stand_for_a_delete(client):
    add("a")

    answer = client.post("/v4/schedules/a", headers={"X-HTTP-Method-Override": "DELETE"})

    assert answer.status_code == 204
    assert not Schedule.objects.exists()


def test_a_post_can_stand_for_a_patch(client):
    add("a")

    answer = client.post(
        "/v4/schedules/a",
        {"name": "Another"},
        content_type="application/json",
        headers={"X-HTTP-Method-Override": "PATCH"},
    )

    assert answer.status_code == 200
    assert Schedule.objects.get().title == "Another"


@pytest.mark.parametrize(
    ("method", "override"),
    [("POST", "HEAD"), ("POST", "GET"), ("POST", ""), ("GET", "PUT"), ("GET", "DELETE"), ("PUT", "PUT")],
)
def test_no_other_method_can_be_overridden(client, method, override):
    add("a")

    answer = client.generic(method, "/v4/schedules/a/stop", headers={"X-HTTP-Method-Override": override})

    assert answer.status_code == answer.json()["statusCode"] == 400
    assert "X-HTTP-Method-Override" in answer.json()["message"]
    assert Schedule.objects.get().enabled


def test_the_admin_knows_no_method_override(client):
    answer = client.get("/admin/login/", headers={"X-HTTP-Method-Override": "PATCH"})

    assert answer.status_code == 200


def test_a_body_that_comes_in_chunks_is_read(client):
    answer = client.generic("POST", "/v4/schedules", **chunked(json.dumps(BODY).encode()))

    assert answer.status_code == 201


def test_a_body_that_comes_in_chunks_has_the_same_limit(client):
    answer = client.generic("POST", "/v4/schedules", **chunked(b" " * (1024 * 1024 + 1)))

    assert answer.status_code == answer.json()["statusCode"] == 413


def test_broken_chunks_are_a_bad_request(client):
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ValueError("no such chunk")

    answer = client.generic("POST", "/v4/schedules", **chunked(b"") | {"wsgi.input": Broken()})

    assert answer.status_code == 400
    assert "no such chunk" in answer.json()["message"]
