"""What today's Butler answers where the two generations of it differ."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import add

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dialect(settings):
    settings.BUTLER_DIALECT = 16


def test_one_schedule_is_an_array_of_one(client):
    add("a")

    answer = client.get("/v4/schedules?id=a")

    assert (answer.status_code, [schedule["id"] for schedule in answer.json()]) == (200, ["a"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v4/schedules?id=a"),
        ("DELETE", "/v4/schedules/a"),
        ("PUT", "/v4/schedules/a/start"),
        ("PUT", "/v4/schedules/a/stop"),
    ],
)
def test_an_unknown_id_is_a_bad_request(client, method, path):
    answer = client.generic(method, path)

    assert answer.status_code == answer.json()["statusCode"] == 400
    assert answer.json()["error"] == "Bad Request"
    assert "'a'" in answer.json()["message"]
