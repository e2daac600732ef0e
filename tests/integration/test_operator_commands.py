"""`manage.py schedules backfill`, `forecast` and `status`: in 80 columns, and as the documents have them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schedules import services
from schedules.lease import PlannerLease
from schedules.models import Absence, Lease, Maintenance, Run, Schedule
from schedules.zone_data import use_newest
from tests.conftest import ORIGIN
from tests.integration.api_calls import add
from tests.integration.certificates import write_certificates
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

DOCS = Path(__file__).parents[2] / "docs"
TIMES = ("--from", "2024-03-04T06:00:00Z", "--until", "2024-03-04T06:30:00Z")
DAY = ("--from", "2026-11-25", "--until", "2026-11-26")


class TestBackfill:
    def test_it_shows_what_would_start_and_writes_nothing(self):
        schedule = add("task-1", cron_schedule="*/10 * * * *", title="Sales")
        add("seldom", cron_schedule="0 0 1 1 *")
        services.run_now([schedule.name], origin=ORIGIN)
        Run.objects.update(due_at=datetime(2024, 3, 4, 6, 10, tzinfo=UTC), state="started")

        outcome = schedules("backfill", "task-1", "seldom", *TIMES)

        assert outcome.out.splitlines() == [
            "task-1  Sales",
            "    due 4 times, 2024-03-04 06:00:00 to 2024-03-04 06:30:00 UTC",
            "    in the ledger: 3 missing, 1 started",
            "    would start: 3",
            "seldom  Hourly",
            "    not due in this time",
            "3 runs would start. Nothing was written; --yes starts them.",
        ]
        assert Run.objects.count() == 1

    def test_yes_does_it_once(self):
        add("task-1")

        assert schedules("backfill", "task-1", *TIMES, "--yes").out.endswith("Planned: 1 run, to be started at once.\n")
        assert schedules("backfill", "task-1", *TIMES, "--yes", "--again").out.endswith("Planned: 0 runs.\n")

        run = Run.objects.get()
        assert (run.reason, run.message.endswith(", command line.")) == ("backfill", True)

    @pytest.mark.parametrize(
        ("arguments", "refusal"),
        [
            (("task-1", "--from", "soon", "--until", "2024-03-04"), "--from: 'soon' is not a time"),
            (("task-1", "--from", "2024-03-04", "--until", "2999-01-01"), "in the future"),
            (("task-1", "--from", "1990-01-01", "--until", "2024-03-04"), "more than 100,000 times"),
            (("nobody", *TIMES), "There is no schedule with the id 'nobody'"),
        ],
    )
    def test_what_is_refused_says_why(self, arguments, refusal):
        add("task-1", cron_schedule="* * * * *")

        outcome = schedules("backfill", *arguments, "--yes")

        assert refusal in " ".join(outcome.refusal.split())
        assert not Run.objects.exists()


class TestForecast:
    def test_it_draws_a_chart_and_names_the_peaks(self):
        add("hourly", title="Each hour")
        add("noon", cron_schedule="0 12 * * *", title="Noon " * 30)

        lines = schedules("forecast", *DAY).out.splitlines()

        assert lines[0] == "25 starts from 2026-11-25 00:00 until 2026-11-26 00:00 UTC, by 2 started"
        assert lines[3:6] == [
            "Per hour",
            f"2026-11-25 00:00{1:>12}  {'█' * 24}",
            f"2026-11-25 01:00{1:>12}  {'█' * 24}",
        ]
        assert lines[16] == f"2026-11-25 12:00{2:>12}  {'█' * 48}"
        start = lines.index("Busiest minutes")
        assert lines[start + 1] == "2026-11-25 12:00:00  2 starts by 2 schedules"
        assert lines[start + 2] == "    Each hour and 1 more"
        assert lines[start + 3] == "2026-11-25 00:00:00  1 start by 1 schedule"

    @pytest.mark.parametrize(("per", "size"), [("minute", 30), ("second", 1800)])
    def test_a_line_stands_for_the_greatest_of_several(self, per, size):
        add("hourly")

        out = schedules("forecast", *DAY, "--per", per).out

        assert f"Per {per}; each line is the greatest of {size:,}" in out
        assert len(re.findall(r"^2026-11-25 ..:.. ", out, re.MULTILINE)) == 48

    def test_broken_schedules_are_named_and_none_at_all_is_no_error(self):
        assert schedules("forecast").out.startswith("0 starts from ")
        add("task-1")
        Schedule.objects.update(enabled=True, cron_schedule="nonsense")

        assert "Left out, for they are broken: task-1." in schedules("forecast").out

    def test_what_is_refused_says_why(self):
        assert "at most 31 can be forecast" in " ".join(schedules("forecast", "--until", "2999-01-01").refusal.split())


class TestStatus:
    def test_a_service_in_good_health_is_well(self, redis_server):
        lease = PlannerLease(holder="host/boot/1")
        lease.keep()
        lease.advance(planned_through=datetime(2024, 3, 4, 6, tzinfo=UTC))
        add("task-1", enabled=True)

        lines = schedules("status").out.splitlines()

        assert re.fullmatch(r"leader              host/boot/1, token 1, renewed \d\.\d s ago", lines[0])
        assert lines[1] == f"time zones          {use_newest()}"
        assert lines[2:] == [
            "planned through     2024-03-04 06:00:00 UTC",
            "started schedules   1",
            "messages on Redis   0",
            "open runs           0 planned, 0 queued, 0 claimed, 0 retrying, 0 waiting, 0",
            "                    unsure",
            "The service is well.",
        ]

    def test_a_service_that_is_not_well_says_why_and_ends_with_an_error(self):
        services.run_now([add("task-1").name], origin=ORIGIN)
        now = datetime.now(UTC)
        Run.objects.update(planned_at=now - timedelta(seconds=90))
        Lease.objects.update(holder="h" * 100, renewed_at=now - timedelta(seconds=20))
        Absence.objects.create(from_at=now, until_at=now)
        began, ends = now.replace(microsecond=0) - timedelta(hours=1), now.replace(microsecond=0) + timedelta(hours=1)
        Maintenance.objects.create(began_at=began, ended_at=ends, reason="upgrade")

        outcome = schedules("status")

        assert "Redis does not answer" in outcome.out
        assert "waits for 90." in outcome.out
        assert "being settled       absence from" in outcome.out
        until = f"until {ends:%Y-%m-%d %H:%M:%S} UTC: upgrade"
        assert f"maintenance since {began:%Y-%m-%d %H:%M:%S} UTC {until}" in " ".join(outcome.out.split())
        refusal = " ".join(outcome.refusal.split())
        assert refusal.startswith("The service is degraded. No beat has led for 20 s, more than 10 s.")
        assert "A run has waited 90 s for a worker" in refusal

    def test_a_certificate_that_expires_soon_is_a_warning_and_no_error(self, redis_server, settings, tmp_path):
        PlannerLease(holder="host/boot/1").keep()
        settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=3)

        out = schedules("status").out

        assert re.search(r"^client\.pem          expires 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$", out, re.MULTILINE)
        assert "root.pem            expires 3000-01-01 00:00:00 UTC" in out
        # Long lines are broken, and so may the path be
        assert f"Warning:{tmp_path}/client.pemexpireson" in "".join(out.split())
        text = " ".join(out.split())
        assert text.endswith("a restart is not needed. The service is well.")

    def test_a_new_site_has_nobody_who_leads(self):
        assert "nobody, token 0, never renewed" in schedules("status").out


def test_what_the_documents_type_works(redis_server):
    PlannerLease(holder="host/boot/1").keep()
    add("task-1", cron_schedule="*/30 * * * * *")
    texts = [(DOCS / "how-to" / name).read_text(encoding="utf-8") for name in ("backfill.md", "forecast.md")]

    commands = [
        command
        for text in texts
        for command in re.findall(r"^python manage.py schedules ((?:backfill|forecast|status).*)$", text, re.MULTILINE)
    ]

    assert {command.split()[0] for command in commands} == {"backfill", "forecast", "status"}
    assert [schedules(*command.split()).refusal for command in commands] == [""] * len(commands)
