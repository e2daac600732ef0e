"""How the service says that it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schedules import services
from schedules.lease import PlannerLease
from schedules.models import Absence, Lease, Maintenance, QlikTask, Run
from schedules.redis_names import read_names
from schedules.vitals import read_vitals
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.certificates import write_certificates

pytestmark = pytest.mark.django_db


NOTHING_OPEN = dict.fromkeys(["planned", "queued", "claimed", "retrying", "waiting", "unsure"], 0)


@pytest.fixture
def leader(redis_server) -> PlannerLease:
    """A beat that leads, and a Redis that answers."""
    lease = PlannerLease(holder="host/boot/1")
    assert lease.keep()
    return lease


def set_back(**values: timedelta) -> None:
    """Make the lease, or all runs, older than they are."""
    for column, span in values.items():
        model = Lease if column == "renewed_at" else Run
        model.objects.update(**{column: datetime.now(UTC) - span})


def test_a_service_that_runs_is_well(leader, make_schedule):
    make_schedule()
    make_schedule(startup_state="stopped")
    through = datetime(2026, 3, 2, 6, tzinfo=UTC)
    leader.advance(planned_through=through)

    vitals = read_vitals()

    assert (vitals.status, vitals.problems) == ("ok", [])
    assert (vitals.leader.holder, vitals.leader.token, vitals.leader.renewals) == ("host/boot/1", 1, 2)
    assert timedelta(0) <= vitals.leader.age < timedelta(seconds=5)
    assert (vitals.planned_through, vitals.started_schedules, vitals.queue_length) == (through, 1, 0)
    assert vitals.open_runs == NOTHING_OPEN
    assert (vitals.longest_waiting, vitals.absences, vitals.maintenance) == (None, [], None)


def test_it_counts_what_waits(leader, make_schedule, redis_server):
    schedule = make_schedule()
    for state in ("planned", "queued", "queued", "claimed", "started", "skipped"):
        (run,) = services.run_now([schedule.name], origin=ORIGIN)
        Run.objects.filter(pk=run.pk).update(state=state)
    with redis_server.client() as client:
        client.lpush(read_names().queue, "a", "b")

    vitals = read_vitals()

    assert vitals.open_runs == NOTHING_OPEN | {"planned": 1, "queued": 2, "claimed": 1}
    assert vitals.queue_length == 2
    assert (
        vitals.longest_waiting.due_at == Run.objects.filter(state__in=["planned", "queued"]).earliest("due_at").due_at
    )
    assert vitals.status == "ok"


def test_a_run_that_no_worker_takes_is_told(leader, make_schedule):
    services.run_now([make_schedule().name], origin=ORIGIN)
    set_back(planned_at=timedelta(seconds=61))

    (problem,) = read_vitals().problems

    assert problem.startswith("A run has waited 61 s for a worker, more than 60 s.")
    Run.objects.update(state="claimed")
    assert read_vitals().status == "ok"


def test_a_run_for_an_instant_long_past_has_waited_since_it_was_planned(leader, make_schedule):
    services.run_now([make_schedule().name], origin=ORIGIN)
    set_back(due_at=timedelta(days=9))

    vitals = read_vitals()

    assert vitals.status == "ok"
    assert vitals.longest_waiting.wait < timedelta(seconds=30)


def test_a_leader_that_is_gone_is_told(leader):
    set_back(renewed_at=timedelta(seconds=12))

    (problem,) = read_vitals().problems

    assert problem.startswith("No beat has led for 12 s, more than 10 s. Nothing new is started.")


def test_a_change_of_leaders_is_no_problem(leader):
    leader.release()

    vitals = read_vitals()

    assert (vitals.leader.holder, vitals.status) == ("", "ok")


def test_a_clock_that_is_behind_the_leaders_is_no_problem(leader):
    set_back(renewed_at=-timedelta(seconds=30))

    assert read_vitals().leader.age == timedelta(0)


def test_a_new_site_without_beat_says_so(redis_server):
    assert read_vitals().problems == [
        "No beat has led yet. Nothing new is started. Look whether beat runs, and what its log says."
    ]


def test_redis_that_is_away_is_told(leader, redis_server):
    redis_server.stop()

    vitals = read_vitals()

    assert vitals.queue_length is None
    assert [problem.split(",")[0] for problem in vitals.problems] == ["Redis does not answer"]


def test_it_has_absences_and_the_maintenance_of_now(leader):
    now = datetime.now(UTC)
    absence = Absence.objects.create(from_at=now - timedelta(hours=2), until_at=now - timedelta(hours=1))
    Maintenance.objects.create(began_at=now - timedelta(hours=3), ended_at=now - timedelta(hours=2))
    Maintenance.objects.create(began_at=now + timedelta(hours=3))
    assert read_vitals().maintenance is None
    current = Maintenance.objects.create(began_at=now - timedelta(hours=1), ended_at=now + timedelta(hours=1))

    vitals = read_vitals()

    assert (vitals.absences, vitals.maintenance, vitals.status) == ([absence], current, "ok")


def test_certificates_that_last_are_no_matter(leader, settings, tmp_path):
    settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=31)

    vitals = read_vitals()

    assert [certificate.file.name for certificate in vitals.certificates] == ["client.pem", "root.pem"]
    assert (vitals.status, vitals.problems, vitals.warnings) == ("ok", [], [])


def test_a_certificate_that_expires_within_30_days_is_a_warning(leader, settings, tmp_path):
    settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=29.5)

    vitals = read_vitals()

    (warning,) = vitals.warnings
    expires_at = vitals.certificates[0].expires_at
    assert warning == (
        f"{tmp_path}/client.pem expires on {expires_at:%Y-%m-%d at %H:%M} UTC, in 29 days. No task can start then."
        " Export new certificates in the QMC and put them in its place; a restart is not needed."
    )
    assert (vitals.status, vitals.problems) == ("ok", [])


def test_a_certificate_that_has_expired_is_a_problem(leader, settings, tmp_path):
    settings.QRS_CERT_DIR = write_certificates(tmp_path, days_left=-1)

    vitals = read_vitals()

    (problem,) = vitals.problems
    expires_at = vitals.certificates[0].expires_at
    assert problem == (
        f"{tmp_path}/client.pem expired on {expires_at:%Y-%m-%d at %H:%M} UTC, so no task can start."
        " Export new certificates in the QMC and put them in its place; a restart is not needed."
    )
    assert (vitals.status, vitals.warnings) == ("degraded", [])


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_certificates_that_this_process_cannot_read_are_the_workers_matter(leader, settings, tmp_path, content):
    settings.QRS_CERT_DIR = tmp_path
    if content:
        (tmp_path / "client.pem").write_text(content)

    vitals = read_vitals()

    assert (vitals.status, vitals.certificates) == ("ok", [])


def test_settings_that_no_client_can_use_do_not_hide_the_rest(leader, settings):
    settings.QRS_USER = "nobody"

    assert read_vitals().status == "ok"


def test_it_takes_twelve_queries_however_much_there_is(leader, make_schedule):
    QlikTask.objects.create(id=TASK_ID, name="Sales", seen_at=timezone.now())
    for _ in range(3):
        services.run_now([make_schedule().name], origin=ORIGIN)

    with CaptureQueriesContext(connection) as queries:
        read_vitals()

    # PostgreSQL is asked whether it ends a transaction that idles, here between a savepoint and its release
    assert len(queries) == 12 + (3 if connection.vendor == "postgresql" else 0)
