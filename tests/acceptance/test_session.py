"""The session of the README against the real service, to the byte, and what kills and restarts do to it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.acceptance.service import ROOT, Service
from tests.conftest import TASK_ID

EXAMPLE = ROOT / "docs/examples/schedules.yaml"
SAMPLE = {
    "timezone": "Europe/Stockholm",
    "tags": ["tag 1", "abc 123 åäö"],
    "qlikSenseTaskId": TASK_ID,
    "name": "Every 5 sec",
    "cronSchedule": "*/5 * * * * *",
    "startupState": "started",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service that the tests share; each looks at schedules of its own."""
    # After this timeout a claim whose worker was killed is closed within a test's patience
    with Service(tmp_path_factory.mktemp("session") / "data", QRS_TIMEOUT="1,2") as running:
        yield running


STARTED = {"started", "succeeded", "failed", "aborted"}


def create(service: Service, **values: Any) -> str:
    answer = service.call("POST", "/v4/schedules", json.dumps(SAMPLE | values))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ledger(service: Service, schedule_id: str, state: str = "") -> dict[datetime, str]:
    """Return the session of each run of a schedule by its due instant; what has started may have ended since."""
    with closing(sqlite3.connect(service.data_folder / "butler.sqlite3", timeout=20)) as database:
        rows = database.execute(
            "SELECT due_at, qrs_session, state FROM schedules_run WHERE schedule_name = ? ORDER BY due_at",
            (schedule_id,),
        ).fetchall()
    states = {"": {found for _, _, found in rows}, "started": STARTED}.get(state, {state})
    return {datetime.fromisoformat(due).replace(tzinfo=UTC): session for due, session, found in rows if found in states}


def journal(service: Service) -> list[dict[str, Any]]:
    """Return the starts that the simulator has accepted."""
    return [entry for entry in service.simulator("/journal")["entries"] if entry["session_id"]]


def assert_started_once_each(service: Service, schedule_id: str) -> None:
    """Check that the simulator saw exactly the starts that the ledger has, each once."""
    sessions = Counter(entry["session_id"].replace("-", "") for entry in journal(service))
    assert set(sessions.values()) <= {1}
    assert set(ledger(service, schedule_id, "started").values()) <= set(sessions)


def assert_no_second_is_missing(due: list[datetime]) -> None:
    assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]


def test_the_documented_session_to_the_byte(tmp_path):
    with Service(tmp_path / "data", BUTLER_WORKERS="2") as service:
        replay_the_session(service)
        assert service.pid_of("worker-2"), service.processes()


def replay_the_session(service: Service) -> None:
    imported = service.manage("schedules", "import", str(EXAMPLE))
    assert imported.returncode == 0, imported.stderr

    everything = service.call("GET", "/v4/schedules")
    assert (everything.status_code, everything.headers["Content-Type"]) == (200, "application/json")
    assert (len(everything.content), len(everything.json())) == (856, 3)
    one = service.call("GET", "/v4/schedules?id=Manually-added-schedule-1")
    assert (one.status_code, len(one.content), one.json()["timezone"]) == (200, 366, "Europe/Paris")

    created = service.call("POST", "/v4/schedules", json.dumps(SAMPLE, ensure_ascii=False))
    assert (created.status_code, len(created.content)) == (201, 307)
    schedule_id = created.json()["id"]
    assert list(created.json()) == [
        "created",
        "name",
        "cronSchedule",
        "timezone",
        "qlikSenseTaskId",
        "startupState",
        "tags",
        "id",
        "lastKnownState",
    ]
    service.wait_for(lambda: len(ledger(service, schedule_id, "started")) >= 2, seconds=20)
    assert all(due.second % 5 == 0 and due.microsecond == 0 for due in ledger(service, schedule_id))

    stopped = service.call("PUT", f"/v4/schedules/{schedule_id}/stop")
    after_stop = datetime.now(UTC)
    assert (stopped.status_code, len(stopped.content)) == (200, 309)
    assert stopped.json()[0]["lastKnownState"] == "stopped"
    asked = service.call("GET", f"/v4/schedules?id={schedule_id}")
    assert (len(asked.content), asked.json()["lastKnownState"]) == (307, "stopped")
    # A second schedule tells when more than five seconds have been planned
    witness = create(service, cronSchedule="* * * * * *")
    service.wait_for(
        lambda: max(ledger(service, witness), default=after_stop) - after_stop > timedelta(seconds=6), seconds=20
    )
    assert max(ledger(service, schedule_id)) < after_stop

    started = service.call("PUT", f"/v4/schedules/{schedule_id}/start")
    assert (started.status_code, len(started.content)) == (200, 309)
    assert started.json()[0]["lastKnownState"] == "started"
    service.wait_for(lambda: max(ledger(service, schedule_id, "started")) > after_stop, seconds=20)

    assert_started_once_each(service, schedule_id)
    line = next(line for line in service.lines if f"schedule={schedule_id}" in line)
    assert f"task={TASK_ID} due=" in line
    assert " ms session=" in line


@pytest.mark.parametrize("program", ["beat", "worker", "redis"])
def test_a_kill_loses_no_later_start_and_doubles_none(service, program):
    schedule_id = create(service, cronSchedule="* * * * * *")
    service.wait_for(lambda: len(ledger(service, schedule_id, "started")) >= 2, seconds=20)

    victim = service.pid_of(program)
    assert victim, service.processes()
    os.kill(victim, signal.SIGKILL)
    killed_at = datetime.now(UTC)

    def has_recovered() -> bool:
        started = ledger(service, schedule_id, "started")
        return max(started) > killed_at + timedelta(seconds=8)

    service.wait_for(has_recovered, seconds=60)
    service.call("PUT", f"/v4/schedules/{schedule_id}/stop")
    service.wait_for(lambda: not ledger(service, schedule_id, "planned"), seconds=60)
    service.wait_for(lambda: not ledger(service, schedule_id, "queued"), seconds=60)
    service.wait_for(lambda: not ledger(service, schedule_id, "claimed"), seconds=90)
    # What a killed worker had in hand is settled by asking
    service.wait_for(lambda: not ledger(service, schedule_id, "unsure"), seconds=90)

    assert_no_second_is_missing(list(ledger(service, schedule_id)))
    assert_started_once_each(service, schedule_id)
    assert not ledger(service, schedule_id, "unknown")


def test_a_restart_brings_every_schedule_back_in_its_last_state(tmp_path):
    with Service(tmp_path / "data") as service:
        running, stopped = create(service, cronSchedule="* * * * * *"), create(service, startupState="stopped")
        other = create(service)
        service.call("PUT", f"/v4/schedules/{other}/stop")
        before = service.call("GET", "/v4/schedules").json()
        service.stop()

    with Service(tmp_path / "data") as service:
        assert service.call("GET", "/v4/schedules").json() == before
        states = {schedule["id"]: schedule["lastKnownState"] for schedule in before}
        assert states == {running: "started", stopped: "stopped", other: "stopped"}
        count = len(ledger(service, running, "started"))
        service.wait_for(lambda: len(ledger(service, running, "started")) > count, seconds=20)


def test_a_restart_can_bring_the_startup_states_instead(tmp_path):
    with Service(tmp_path / "data", BUTLER_START_STATE="startup") as service:
        begins, rests = create(service), create(service, startupState="stop")
        service.call("PUT", f"/v4/schedules/{begins}/stop")
        service.call("PUT", f"/v4/schedules/{rests}/start")
        service.stop()

    with Service(tmp_path / "data", BUTLER_START_STATE="startup") as service:
        states = {
            schedule["id"]: schedule["lastKnownState"] for schedule in service.call("GET", "/v4/schedules").json()
        }
        assert states == {begins: "started", rests: "stopped"}


def test_a_restart_of_the_web_server_refuses_nobody(service):
    killed = service.pid_of("web")
    os.killpg(killed, signal.SIGKILL)
    service.wait_for(lambda: service.pid_of("web") != killed, seconds=5)

    # No try again: who calls while there is no web server waits until there is one
    answer = requests.get(f"{service.url}/v4/schedules", timeout=30)

    assert answer.status_code == 200
    assert service.pid_of("web") not in (None, killed)
