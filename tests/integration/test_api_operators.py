"""The API beyond Butler's: backfill, forecast, health."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from schedules import services
from schedules.lease import PlannerLease
from schedules.models import Absence, Maintenance, Run, Schedule
from schedules.zone_data import use_newest
from tests.conftest import ORIGIN
from tests.integration.api_calls import add
from tests.integration.certificates import write_certificates

pytestmark = pytest.mark.django_db

TIMES = {"from": "2024-03-04T06:00:00Z", "until": "2024-03-04T07:30:00+01:00"}
PATH = "/v4/schedules/a/b%20c/backfill"


def assert_refused(answer, status: int, *parts: str) -> dict:
    body = answer.json()
    assert (answer.status_code, body["statusCode"]) == (status, status)
    assert list(body)[:3] == ["statusCode", "error", "message"]
    for part in parts:
        assert part in body["message"]
    assert not Run.objects.exists()
    return body


@pytest.fixture
def schedule() -> Schedule:
    """A schedule with a slash and a space in its id, as ids of files may have."""
    return add("a/b c", cron_schedule="*/10 * * * *")


def post(client, body: object):
    return client.post(PATH, body, content_type="application/json")


class TestBackfill:
    def test_the_preview_has_each_occurrence_with_what_the_ledger_has(self, client, schedule):
        services.run_now([schedule.name], origin=ORIGIN)
        Run.objects.update(due_at=datetime(2024, 3, 4, 6, 10, tzinfo=UTC), state="started")

        answer = client.get(PATH, TIMES)

        assert answer.json() == {
            "id": "a/b c",
            "due": 4,
            "states": {"missing": 3, "started": 1},
            "toStart": 3,
            "occurrences": [
                {"dueAt": "2024-03-04T06:00:00Z", "state": "missing", "reason": None, "toStart": True},
                {"dueAt": "2024-03-04T06:10:00Z", "state": "started", "reason": "manual", "toStart": False},
                {"dueAt": "2024-03-04T06:20:00Z", "state": "missing", "reason": None, "toStart": True},
                {"dueAt": "2024-03-04T06:30:00Z", "state": "missing", "reason": None, "toStart": True},
            ],
        }

    def test_a_post_plans_the_runs_and_says_how_many_are_new(self, client, schedule):
        assert post(client, TIMES).json() == {"planned": 4}
        assert post(client, TIMES | {"again": True}).json() == {"planned": 0}

        assert set(Run.objects.values_list("reason", "message")) == {
            ("backfill", "Backfill, asked for by 127.0.0.1, API.")
        }

    @pytest.mark.parametrize("again", [False, True])
    def test_again_is_heeded(self, client, schedule, again):
        services.run_now([schedule.name], origin=ORIGIN)
        Run.objects.update(due_at=datetime(2024, 3, 4, 6, 10, tzinfo=UTC), state="started")

        assert post(client, TIMES | {"again": again}).json() == {"planned": 4 if again else 3}

    def test_a_body_is_refused_with_all_that_is_wrong(self, client, schedule):
        body = assert_refused(post(client, {"from": 5, "until": "soon", "again": "yes", "to": "x"}), 400)

        assert body["code"] == "FST_ERR_VALIDATION"
        assert {field: messages[0][:22] for field, messages in body["fields"].items()} == {
            "from": "This is not a text. Se",
            "until": "'soon' is not a time. ",
            "again": "This is neither true n",
            "to": "This is not a field of",
        }
        assert_refused(post(client, [1]), 400, "not a JSON object")

    def test_a_missing_parameter_is_named(self, client, schedule):
        assert_refused(client.get(PATH, {"from": TIMES["from"]}), 400, "The parameter until is missing")
        assert_refused(client.get(PATH, TIMES | {"from": "soon"}), 400, "from: 'soon' is not a time")
        assert assert_refused(post(client, {"until": TIMES["until"]}), 400)["fields"] == {
            "from": ["This field is missing. Send a time such as 2026-03-29T06:00:00Z."]
        }

    def test_what_the_rules_refuse_has_the_shape_of_every_error(self, client, schedule):
        assert_refused(client.get(PATH, TIMES | {"until": "2999-01-01T00:00Z"}), 400, "in the future")
        assert_refused(post(client, TIMES | {"from": "1990-01-01T00:00Z"}), 400, "more than 100,000 times")

    def test_a_maintenance_is_told(self, client, schedule):
        Maintenance.objects.create(began_at=datetime(2024, 3, 4, 6, tzinfo=UTC))

        assert_refused(post(client, TIMES), 409, "in maintenance since 2024-03-04")

    def test_an_unknown_schedule_is_not_found(self, client):
        assert_refused(client.get(PATH, TIMES), 404, "'a/b c'")
        assert_refused(post(client, TIMES), 404, "'a/b c'")

    def test_other_methods_are_told_which_are_possible(self, client):
        assert_refused(client.put(PATH), 405, "Use GET or POST")
        answer = client.options(PATH)
        assert (answer.status_code, answer.content, answer["Allow"]) == (204, b"", "GET, POST, DELETE, HEAD, OPTIONS")

    @pytest.mark.parametrize("public_id", ["backfill", "a/backfill"])
    def test_no_id_can_end_as_its_path_does(self, public_id):
        with pytest.raises(ValidationError, match="its end has a meaning of its own"):
            add(public_id)


class TestForecast:
    def test_it_answers_with_counts_and_peaks(self, client):
        add("noon", cron_schedule="0 12 * * *", title="Noon")
        add("hourly")

        answer = client.get("/v4/forecast", {"from": "2026-11-25", "until": "2026-11-26", "per": "hour"})

        body = answer.json()
        hourly = {"id": "hourly", "name": "Hourly", "starts": 1}
        assert body["counts"] == [*[1] * 12, 2, *[1] * 11]
        assert body["busiestMinutes"][0] == {
            "at": "2026-11-25T12:00:00Z",
            "starts": 2,
            "schedules": 2,
            "greatest": [hourly, {"id": "noon", "name": "Noon", "starts": 1}],
        }
        assert body["busiestSeconds"][1]["greatest"] == [hourly]
        assert {key: body[key] for key in list(body)[:6]} == {
            "from": "2026-11-25T00:00:00Z",
            "until": "2026-11-26T00:00:00Z",
            "per": "hour",
            "schedules": 2,
            "broken": [],
            "starts": 25,
        }

    def test_by_default_it_has_the_minutes_of_a_day(self, client):
        assert len(client.get("/v4/forecast").json()["counts"]) == 1440

    @pytest.mark.parametrize(
        ("asked", "part"),
        [
            ({"per": "day"}, "per: 'day' is not possible. Give one of second, minute, hour."),
            ({"from": "soon"}, "from: 'soon' is not a time"),
            ({"from": "2026-12-01x06:00:00"}, "from: '2026-12-01x06:00:00' is not a time"),
            ({"from": "2026-01-01", "until": "2026-02-01"}, "at most 8 can be forecast"),
        ],
    )
    def test_what_cannot_be_forecast_is_refused(self, client, asked, part):
        assert_refused(client.get("/v4/forecast", asked), 400, part)


class TestHealth:
    def test_a_service_in_good_health_says_ok(self, client, redis_server):
        PlannerLease(holder="host/boot/1").keep()
        add("a")

        body = client.get("/v4/health").json()

        leader = body["leader"]
        assert (body["status"], body["reasons"]) == ("ok", [])
        assert (leader["holder"], leader["token"], leader["renewals"]) == ("host/boot/1", 1, 1)
        assert leader["renewedAt"].endswith("Z")
        assert 0 <= leader["ageSeconds"] < 10
        assert {key: value for key, value in body.items() if key not in ("status", "reasons", "leader")} == {
            "plannedThrough": None,
            "startedSchedules": 1,
            "queueLength": 0,
            "openRuns": dict.fromkeys(["planned", "queued", "claimed", "retrying", "waiting", "unsure"], 0),
            "longestWaiting": None,
            "absences": [],
            "maintenance": None,
            "warnings": [],
            "certificates": [],
            "timeZoneData": {name: edition or None for name, edition in asdict(use_newest()).items()},
        }

    def test_it_says_what_is_wrong_and_what_is_under_way(self, client):
        moment = datetime(2024, 3, 4, 6, tzinfo=UTC)
        Absence.objects.create(from_at=moment, until_at=moment)
        services.run_now([add("a").name], origin=ORIGIN)
        Run.objects.update(planned_at=moment)
        Maintenance.objects.create(began_at=moment, reason="upgrade")

        answer = client.get("/v4/health")

        body = answer.json()
        assert (answer.status_code, body["status"], len(body["reasons"])) == (200, "degraded", 3)
        assert body["queueLength"] is None
        assert body["longestWaiting"]["waitSeconds"] > 60
        assert body["absences"] == [{"from": "2024-03-04T06:00:00Z", "until": "2024-03-04T06:00:00Z"}]
        assert body["maintenance"] == {"from": "2024-03-04T06:00:00Z", "until": None, "reason": "upgrade"}

    def test_it_warns_of_a_certificate_that_expires_soon(self, client, redis_server, settings, tmp_path):
        PlannerLease(holder="host/boot/1").keep()
        settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=3)

        body = client.get("/v4/health").json()

        (warning,) = body["warnings"]
        own, root = body["certificates"]
        assert (body["status"], body["reasons"]) == ("ok", [])
        assert warning.startswith(f"{tmp_path}/client.pem expires on {own['expiresAt'][:10]} at ")
        assert (own["file"], root["file"]) == (f"{tmp_path}/client.pem", f"{tmp_path}/root.pem")
        assert own["expiresAt"].endswith("Z")

    def test_butlers_status_page_stays(self, client):
        assert client.get("/v4/schedules/status").content.startswith(b"{")
